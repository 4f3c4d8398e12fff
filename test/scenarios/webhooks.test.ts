import { connect } from "node:net";
import { once } from "node:events";
import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { DeliveryState, Forge, ForkPolicy } from "../../proto/gen/agyn/triggers/v1/triggers_service_pb.ts";
import { CauseKind } from "../../proto/gen/agyn/runs/v1/run_pb.ts";
import { createWeb, createWebhook, forgejoHeaders, hmac, post, pushOf, untilSettled } from "../support/triggers.ts";
import { createWorld } from "../support/world.ts";

const settings = { file_sources: "true" };

test("a signed push starts a run at its commit, with inputs from what was sent", async () => {
  await using world = await createWorld(settings);
  const { commit } = await createWeb(world);
  const { trigger, secret } = await createWebhook(world, {}, { who: "${{ event.author }} on ${{ event.branch }}" });
  const body = pushOf(commit);

  const { status } = await post(world, trigger, { headers: forgejoHeaders(secret, body), body });
  const [delivery] = await untilSettled(world, trigger);

  expect(status).toBe(202);
  expect(delivery).toMatchObject({ state: DeliveryState.STARTED, event: "push", reason: "" });
  const { run } = await world.admin.runs.getRun({ run: delivery!.runId });
  expect(run).toMatchObject({ commit, ref: "main", inputs: { who: "mia on main" }, projectName: "web" });
  expect(run!.cause).toMatchObject({
    kind: CauseKind.WEBHOOK,
    triggerId: trigger.id,
    deliveryId: delivery!.id,
    event: "push",
  });
  const scope = { kind: { case: "organization", value: "default" } } as const;
  const { auditEvents } = await world.admin.audit.listAuditEvents({ scope, objectId: run!.id, action: "run.start" });
  expect(auditEvents).toMatchObject([{ actor: trigger.id, details: { delivery_id: delivery!.id } }]);
});

test("bad-31: what is not signed as it should be is refused, written down, and starts nothing", async () => {
  await using world = await createWorld(settings);
  const { commit } = await createWeb(world);
  const { trigger, secret } = await createWebhook(world);
  const body = pushOf(commit);
  const good = forgejoHeaders(secret, body);
  const { "x-forgejo-signature": signature, ...unsigned } = good;
  const twice = [...Object.entries(good), ["x-forgejo-signature", signature!]] as [string, string][];
  const cases: [string, NonNullable<RequestInit["headers"]>, string | Uint8Array<ArrayBuffer>, number][] = [
    ["none", unsigned, body, 401],
    ["empty", { ...good, "x-forgejo-signature": "" }, body, 401],
    ["of another body", good, `${body} `, 401],
    ["by another secret", forgejoHeaders("other", body), body, 401],
    ["by an empty secret", forgejoHeaders("", body), body, 401],
    ["SHA-1", { ...unsigned, "x-hub-signature": "sha1=0".padEnd(45, "0") }, body, 401],
    ["upper case", { ...good, "x-forgejo-signature": signature!.toUpperCase() }, body, 401],
    ["two", twice, body, 401],
    ["another charset", { ...good, "content-type": "application/json; charset=utf-16" }, body, 415],
    ["gzip", { ...good, "content-encoding": "gzip" }, new Uint8Array(gzipSync(body)), 415],
    ["text", { ...good, "content-type": "text/plain" }, body, 415],
  ];
  for (const [name, headers, sent, expected] of cases) {
    expect((await post(world, trigger, { headers, body: sent })).status, name).toBe(expected);
  }
  const deliveries = await untilSettled(world, trigger, cases.length);
  expect(deliveries.map(({ state }) => state)).toEqual(cases.map(() => DeliveryState.REFUSED));
  expect(deliveries.at(-1)!.reason).toBe("signature: it is not signed: there is no x-forgejo-signature header");
  expect((await world.admin.runs.listRuns({})).runs).toEqual([]);
});

test("bad-31: a replay starts nothing, also under another delivery id and a day later", async () => {
  await using world = await createWorld(settings);
  const { commit } = await createWeb(world);
  const { trigger, secret } = await createWebhook(world);
  const body = pushOf(commit);
  const headers = forgejoHeaders(secret, body);
  const first = await post(world, trigger, { headers, body });
  await untilSettled(world, trigger);
  await world.database.sql`update delivery_seen set create_time = now() - interval '1 day'`;

  const again = await post(world, trigger, { headers, body });
  const renamed = await post(world, trigger, { headers: { ...headers, "x-forgejo-delivery": "other" }, body });

  expect([again.status, renamed.status]).toEqual([202, 202]);
  expect([again.answer["duplicate_of"], renamed.answer["duplicate_of"]]).toEqual([
    first.answer["delivery"],
    first.answer["delivery"],
  ]);
  expect((await world.admin.runs.listRuns({})).runs).toHaveLength(1);
});

test("bad-31: a body of 100 MB is refused before it is sent, and one without a length when it grows too large", async () => {
  await using world = await createWorld(settings);
  await createWeb(world);
  const { trigger } = await createWebhook(world);
  const { host, port } = world.server.userAddress;
  const answerTo = async (head: string, chunk: string) => {
    const socket = connect(port, host);
    socket.on("error", () => undefined);
    socket.write(`POST ${trigger.hookPath} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n${head}\r\n\r\n`);
    for (let index = 0; index < 3; index += 1) socket.write(chunk);
    const [data] = (await once(socket, "data")) as [Buffer];
    socket.destroy();
    return data.toString().split("\r\n")[0];
  };
  expect(await answerTo("content-length: 100000000", "")).toBe("HTTP/1.1 413 Payload Too Large");
  const chunk = `80000\r\n${"a".repeat(0x80000)}\r\n`;
  expect(await answerTo("transfer-encoding: chunked", chunk)).toBe("HTTP/1.1 413 Payload Too Large");
});

test("bad-31: who a commit names as its author is nobody: the forge says who pushed", async () => {
  await using world = await createWorld(settings);
  const { commit } = await createWeb(world);
  const { trigger, secret } = await createWebhook(world, { authors: ["root"] });
  const body = pushOf(commit);

  await post(world, trigger, { headers: forgejoHeaders(secret, body), body });
  const [delivery] = await untilSettled(world, trigger);

  expect(delivery).toMatchObject({ state: DeliveryState.REFUSED, reason: 'authors: "mia" is not root' });
});

test("bad-32: a branch with a hostile name is only a name", async () => {
  await using world = await createWorld(settings);
  const { commit } = await createWeb(world);
  const { trigger, secret } = await createWebhook(world, {}, { who: "${{ event.branch }}" });
  const branches = ["$(id)", "`id`", ";id", "-upload-pack=touch", "--", "a\u202Eb"];
  for (const [index, branch] of branches.entries()) {
    const body = pushOf(commit, { ref: `refs/heads/${branch}` });
    await post(world, trigger, { headers: forgejoHeaders(secret, body), body });
    const [delivery] = await untilSettled(world, trigger, index + 1);
    const { run } = await world.admin.runs.getRun({ run: delivery!.runId });
    expect(run).toMatchObject({ commit, ref: branch, inputs: { who: branch } });
  }
});

test("bad-32: a branch that git itself would refuse is forged, and starts nothing", async () => {
  await using world = await createWorld(settings);
  const { commit } = await createWeb(world);
  const { trigger, secret } = await createWebhook(world);
  const branches = ["../x", "a\nb", "a".repeat(4096), "a b", "x.lock"];
  for (const branch of branches) {
    const body = pushOf(commit, { ref: `refs/heads/${branch}` });
    await post(world, trigger, { headers: forgejoHeaders(secret, body), body });
  }
  const deliveries = await untilSettled(world, trigger, branches.length);
  const reasons = new Set(deliveries.map(({ reason }) => reason));
  expect(reasons).toEqual(new Set(["ref: no branch or tag can be named so"]));
});

test("a pull request from a fork starts nothing unless the trigger says so, and then it gets no secrets", async () => {
  await using world = await createWorld(settings);
  const { commit } = await createWeb(world, "jobs: { build: { run: 'true', secrets: [TOKEN] } }");
  const pull = { number: 7, head: { ref: "fix", sha: commit, repo: { full_name: "eve/web" } } };
  const base = { ref: "main", repo: { full_name: "acme/web" } };
  const send = async (forks: ForkPolicy) => {
    const name = `forks-${forks}`;
    const value = { forge: Forge.FORGEJO, events: ["pull_request"], forks };
    const config = { pipeline: "build.yaml", kind: { case: "webhook", value } } as const;
    const made = await world.admin.triggers.createTrigger({ project: "web", name, config });
    const body = pushOf(commit, { action: "opened", pull_request: { ...pull, base } });
    await post(world, made.trigger!, { headers: forgejoHeaders(made.secret, body, "pull_request"), body });
    return (await untilSettled(world, made.trigger!))[0]!;
  };
  expect(await send(ForkPolicy.UNSPECIFIED)).toMatchObject({ reason: "forks: a fork's pull request starts nothing" });
  const { runId } = await send(ForkPolicy.WITHOUT_SECRETS);
  const { jobs } = await world.admin.runs.listJobs({ run: runId });
  expect(jobs[0]!.message).toContain("not trusted, so its jobs get no secrets");
});

test("a form's JSON is what Forgejo signs", async () => {
  await using world = await createWorld(settings);
  const { commit } = await createWeb(world);
  const { trigger, secret } = await createWebhook(world);
  const text = pushOf(commit);
  const body = new URLSearchParams({ payload: text }).toString();
  const form = "application/x-www-form-urlencoded";
  const headers = { ...forgejoHeaders(secret, body), "content-type": form, "x-forgejo-signature": hmac(secret, text) };
  await post(world, trigger, { headers, body });
  expect((await untilSettled(world, trigger))[0]!.state).toBe(DeliveryState.STARTED);
});

test("a pipeline that is not there is told in the log, and tried again when it is delivered again", async () => {
  await using world = await createWorld(settings);
  const { commit } = await createWeb(world);
  const { trigger, secret } = await createWebhook(world, {}, { nothing: "1" });
  const body = pushOf(commit);
  await post(world, trigger, { headers: forgejoHeaders(secret, body), body });
  const [failed] = await untilSettled(world, trigger);
  expect(failed).toMatchObject({ state: DeliveryState.FAILED, reason: expect.stringContaining("unknown input") });

  const config = { ...trigger.config!, inputs: {} };
  await world.admin.triggers.updateTrigger({ trigger: "web/hook", config, ifVersion: 1 });
  await world.admin.triggers.redeliverDelivery({ trigger: trigger.id, deliveryId: failed!.id });
  const [again] = await untilSettled(world, trigger, 2);
  expect(again).toMatchObject({ state: DeliveryState.STARTED, redeliveryOf: failed!.id });
});
