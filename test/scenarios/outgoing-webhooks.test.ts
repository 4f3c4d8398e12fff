import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebhookDeliveryState, type WebhookDelivery } from "../../proto/gen/agyn/webhooks/v1/webhooks_service_pb.ts";
import { verifyWebhook } from "../../server/src/triggers/webhook-request.ts";
import { openReceiver, type ReceivedRequest } from "../support/receiver.ts";
import { createWorld, until, type World } from "../support/world.ts";

let world: World;

beforeAll(async () => {
  world = await createWorld({ outgoing_private: "true", webhook_retry: "40ms" });
  await world.admin.projects.createProject({ name: "web" });
  await world.admin.projects.createProject({ name: "other" });
});
afterAll(() => world[Symbol.asyncDispose]());

let made = 0;

/** A webhook of the organization `default`. */
async function createHook(
  url: string,
  more: { project?: string; events?: string[]; labels?: Record<string, string> } = {},
) {
  const { webhook, secret } = await world.admin.webhooks.createWebhook({ name: `hook-${(made += 1)}`, url, ...more });
  return { id: webhook!.id, secret };
}

/** A run whose one job never finds a runner; cancelled at once. */
async function runAndCancel(project = "web", labels: Record<string, string> = {}) {
  const content = Buffer.from("jobs: { first: { run: 'true', requires: { labels: { nowhere: here } } } }");
  const { run } = await world.admin.runs.startRun({ project, pipeline: "a.yaml", content, labels });
  await world.admin.runs.cancelRuns({ filter: { runs: [run!.id] } });
  return run!;
}

async function deliveriesOf(webhook: string): Promise<WebhookDelivery[]> {
  return (await world.admin.webhooks.listWebhookDeliveries({ webhook })).deliveries;
}

const untilDelivered = (webhook: string, count: number) =>
  until(`${count} deliveries arrived`, async () => {
    const all = await deliveriesOf(webhook);
    return all.filter(({ state }) => state === WebhookDeliveryState.DELIVERED).length === count && all;
  });

const verify = ({ headers, body }: ReceivedRequest, secret: string) =>
  "verified" in verifyWebhook({ headers, body }, { forge: "generic", secret, now_ms: Date.now() });

test("each transition of a run and its job arrives once, in order, signed, and says what happened", async () => {
  await using receiver = await openReceiver();
  const { id, secret } = await createHook(receiver.url);
  const run = await runAndCancel("web", { team: "ml" });

  await untilDelivered(id, 4);

  expect(receiver.types()).toEqual(["run.queued", "job.queued", "job.cancelled", "run.cancelled"]);
  expect(receiver.received.every((one) => verify(one, secret))).toBe(true);
  const told = JSON.parse(receiver.received[3]!.body.toString()) as Record<string, unknown>;
  expect(told).toMatchObject({
    type: "run.cancelled",
    data: { run: { id: run.id, number: Number(run.number), attempt: 1, project: "web", labels: { team: "ml" } } },
  });
  expect(new Set(receiver.received.map(({ headers }) => new Map(headers).get("webhook-id"))).size).toBe(4);
});

test("filters let through what they name: by project, by type and by label", async () => {
  await using receiver = await openReceiver();
  const ofWeb = await createHook(`${receiver.url}/web`, { project: "web", events: ["run.cancelled"] });
  const ofMl = await createHook(`${receiver.url}/ml`, { labels: { team: "ml" }, events: ["run.*"] });

  await runAndCancel("web");
  await runAndCancel("other", { team: "ml" });
  await untilDelivered(ofWeb.id, 1);
  await untilDelivered(ofMl.id, 2);

  const heard = receiver.received.map(({ path }, index) => `${path} ${receiver.types()[index]}`).toSorted();
  expect(heard).toEqual(["/ml run.cancelled", "/ml run.queued", "/web run.cancelled"]);
  await world.admin.webhooks.deleteWebhook({ webhook: ofWeb.id });
  await world.admin.webhooks.deleteWebhook({ webhook: ofMl.id });
});

test("changes of different fields that are made at once all hold", async () => {
  const { id: webhook } = await createHook("https://example.org/first");
  const changes = [
    { updateMask: { paths: ["url"] }, url: "https://example.org/second" },
    { updateMask: { paths: ["labels"] }, labels: { team: "ml" } },
    { updateMask: { paths: ["events"] }, events: ["run.*"] },
    { updateMask: { paths: ["name"] }, name: "renamed" },
  ];

  await Promise.all(changes.map((change) => world.admin.webhooks.updateWebhook({ webhook, ...change })));

  const { webhook: changed } = await world.admin.webhooks.getWebhook({ webhook });
  const settings = { url: "https://example.org/second", labels: { team: "ml" }, events: ["run.*"], name: "renamed" };
  expect(changed).toMatchObject(settings);
});

test("a runner that is registered, paused and deleted is told of", async () => {
  await using receiver = await openReceiver();
  const { id } = await createHook(receiver.url, { events: ["runner.*"] });
  const runner = await world.register("told-of");
  await world.admin.runners.pauseRunner({ runner: runner.id, reason: "a new disk" });
  await world.admin.runners.deleteRunner({ runner: runner.id });

  await untilDelivered(id, 3);

  expect(receiver.types()).toEqual(["runner.registered", "runner.paused", "runner.deleted"]);
  expect(receiver.received[1]!.body.toString()).toContain('"availabilityReason":"a new disk"');
});

test("what is refused is sent again under the same id, and what failed for good is sent again on request", async () => {
  await using receiver = await openReceiver((_request, index) => ({ status: index < 2 ? 503 : 204 }));
  const { id } = await createHook(receiver.url, { events: ["run.queued"] });
  await runAndCancel();
  const [delivered] = await untilDelivered(id, 1);
  expect(delivered).toMatchObject({ tries: 3, statusCode: 204, error: "" });

  const again = await world.admin.webhooks.redeliverWebhook({ webhook: id, deliveryId: delivered!.id });
  await untilDelivered(id, 2);

  expect(again.delivery).toMatchObject({ redeliveryOf: delivered!.id, messageId: delivered!.messageId });
  const ids = receiver.received.map(({ headers }) => new Map(headers).get("webhook-id"));
  expect(ids).toEqual(Array.from({ length: 4 }, () => delivered!.messageId));
  const { body } = await world.admin.webhooks.getWebhookDelivery({ webhook: id, deliveryId: delivered!.id });
  expect(receiver.received[3]!.body.toString()).toBe(body);
});

test("two secrets sign while one takes over from the other, and one alone after it", async () => {
  await using receiver = await openReceiver();
  const first = await createHook(receiver.url, { events: ["run.queued"] });
  const signedBy = async (secrets: string[]) => {
    const { delivery } = await world.admin.webhooks.testWebhook({ webhook: first.id });
    const seen = await until("the test event arrived", () =>
      receiver.received.find(({ headers }) => new Map(headers).get("webhook-id") === delivery!.messageId),
    );
    return secrets.map((secret) => verify(seen, secret));
  };

  const second = await world.admin.webhooks.rotateWebhookSecret({ webhook: first.id });
  expect(second.webhook?.previousSecretExpireTime).toBeDefined();
  expect(await signedBy([first.secret, second.secret])).toEqual([true, true]);

  const third = await world.admin.webhooks.rotateWebhookSecret({ webhook: first.id, overlap: { seconds: 0n } });
  expect(await signedBy([first.secret, second.secret, third.secret])).toEqual([false, false, true]);
});

test("a receiver that is gone is switched off with the reason, and goes on where it was once it is on again", async () => {
  let isBack = false;
  await using receiver = await openReceiver(() => ({ status: isBack ? 204 : 410 }));
  const { id } = await createHook(receiver.url, { events: ["run.queued"] });
  await runAndCancel();

  const off = await until("it is off", async () => {
    const { webhook } = await world.admin.webhooks.getWebhook({ webhook: id });
    return !webhook!.enabled && webhook;
  });
  expect(off).toMatchObject({ disableReason: expect.stringContaining("410") as string, waiting: 1 });
  const { auditEvents } = await world.admin.audit.listAuditEvents({ scope: ofDefault, objectId: id });
  expect(auditEvents[0]).toMatchObject({ action: "webhook.disable", actor: "server" });
  await expect(world.admin.webhooks.testWebhook({ webhook: id })).rejects.toThrow(/is off: switch it on first/);

  isBack = true;
  await world.admin.webhooks.enableWebhook({ webhook: id });
  await untilDelivered(id, 1);
});

const ofDefault = { kind: { case: "organization", value: "default" } } as const;

describe("bad-54: webhooks to hostile places", () => {
  test("a redirect is an answer like any other, and nobody goes where it points", async () => {
    await using inner = await openReceiver();
    await using receiver = await openReceiver(() => ({ status: 302, location: inner.url }));
    const { id } = await createHook(receiver.url, { events: ["run.queued"] });
    await runAndCancel();

    const tried = await until("it was tried twice", async () =>
      (await deliveriesOf(id)).find(({ tries }) => tries > 1),
    );

    expect(tried.error).toContain("redirects are not followed");
    expect(inner.received).toEqual([]);
  });

  test("one that never answers holds up itself alone, and no transaction", async () => {
    await using silent = await openReceiver(() => undefined);
    await using quick = await openReceiver();
    const mute = await createHook(silent.url, { events: ["run.queued"] });
    const { id } = await createHook(quick.url, { events: ["run.queued"] });
    for (let count = 0; count < 5; count += 1) await runAndCancel();

    await untilDelivered(id, 5);
    const asked = await until("the silent one was asked", () => silent.received.length > 0 && new Date());

    expect(silent.received).toHaveLength(1);
    await until("no transaction is open that was when it was asked", async () => {
      const open = await world.database.sql`
        select from pg_stat_activity where datname = current_database() and state like 'idle in transaction%'
          and xact_start < ${asked}`;
      return open.length === 0;
    });
    // It has not been given up meanwhile: the request is still open.
    expect(await deliveriesOf(mute.id)).toSatisfy((all: WebhookDelivery[]) => all.every(({ tries }) => tries === 0));
  });

  test("an inner address is never called unless the server allows it, and the log of deliveries says so", async () => {
    await using receiver = await openReceiver();
    const { id } = await createHook(receiver.url, { events: ["run.queued"] });
    await world.restartServer({ outgoing_private: "false" });
    await runAndCancel();

    const tried = await until("it was tried", async () => (await deliveriesOf(id)).find(({ tries }) => tries > 0));

    expect(tried.error).toMatch(/127\.0\.0\.1 is an address of this machine/);
    expect(receiver.received).toEqual([]);
    for (const url of ["http://example.org/hook", "https://mia:secret@example.org/"]) {
      await expect(world.admin.webhooks.createWebhook({ name: "refused", url })).rejects.toThrow(/url: it must/);
    }
  });
});

test("an event is queued once, though the server stops in between and two replicas look", async () => {
  await using receiver = await openReceiver();
  await world.restartServer({ outgoing_private: "true" });
  await world.addReplica({ outgoing_private: "true" });
  const { id } = await createHook(receiver.url, { events: ["job.queued"] });
  for (let count = 0; count < 10; count += 1) await runAndCancel();
  await world.restartServer({ outgoing_private: "true" });

  const all = await untilDelivered(id, 10);

  await until("nothing is left", async () => (await world.database.sql`select from webhook_event`).length === 0);
  expect(all).toHaveLength(10);
  expect(new Set(receiver.received.map(({ headers }) => new Map(headers).get("webhook-id"))).size).toBe(10);
});
