import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { RunState } from "../../proto/gen/agyn/runs/v1/run_pb.ts";
import { ReportBackSchema } from "../../proto/gen/agyn/triggers/v1/triggers_service_pb.ts";
import { createProtocolRunner, exited } from "../support/protocol-runner.ts";
import { openReceiver } from "../support/receiver.ts";
import {
  createWeb,
  createWebhook,
  forgejoHeaders,
  post,
  pushOf,
  untilSettled,
  type Made,
} from "../support/triggers.ts";
import { createWorld, until, type World } from "../support/world.ts";

const pipeline = `
inputs: { issue_number: {}, issue_title: {}, issue_body: {}, task_branch: {} }
jobs:
  work: { run: 'true' }
`;

/** A Forgejo with one issue, which knows no label of ours until somebody makes it. */
async function openForge() {
  const known = ["agent:code", "status:todo"];
  const onIssue = new Set<string>();
  const history: string[] = [];
  const receiver = await openReceiver(({ method, path, body }) => {
    const asked = body.length > 0 ? (JSON.parse(body.toString()) as { labels?: string[]; name?: string }) : {};
    if (path.endsWith("/web/labels")) known.push(asked.name!);
    else if (method === "DELETE") onIssue.delete(known[Number(path.split("/").at(-1))]!);
    else if (!known.includes(asked.labels![0]!)) return { status: 404, body: '{"message":"no such label"}' };
    else onIssue.add(asked.labels![0]!);
    history.push([...onIssue].join(" "));
    return { status: 200, body: JSON.stringify([...onIssue].map((name) => ({ id: known.indexOf(name), name }))) };
  });
  return Object.assign(receiver, { onIssue, history });
}

async function createAgentHook(world: World, apiUrl: string): Promise<Made> {
  await createWeb(world, pipeline);
  const made = await createWebhook(world, { agentLabels: true });
  const report = create(ReportBackSchema, { apiUrl: `${apiUrl}/api/v1`, statusLabels: true });
  const { triggers } = world.admin;
  await triggers.updateTrigger({ trigger: made.trigger.id, config: { ...made.trigger.config!, report } });
  await triggers.setTriggerCredential({ trigger: made.trigger.id, credential: "forge-token" });
  return made;
}

let delivered = 0;

/** What became of an issue that has these labels now. */
async function label(world: World, { trigger, secret }: Made, labels: string[]): Promise<string> {
  const issue = { number: 42, title: "Fix it", body: "", labels: labels.map((name) => ({ name })) };
  const body = pushOf("", { action: "label_updated", ref: "", issue, sent: (delivered += 1) });
  await post(world, trigger, { headers: forgejoHeaders(secret, body, "issues"), body });
  const { deliveries } = await world.admin.triggers.listDeliveries({ trigger: trigger.id });
  const [newest] = await untilSettled(world, trigger, deliveries.length);
  return newest!.reason || "started";
}

test("an issue for an agent shows by one label what becomes of its run, and is done once", async () => {
  await using forge = await openForge();
  await using world = await createWorld({ file_sources: "true", outgoing_private: "true" });
  const hook = await createAgentHook(world, forge.url);
  forge.onIssue.add("status:todo");
  await using runner = await createProtocolRunner(
    world,
    await world.register("coder", { capabilities: ["code:rust"] }),
  );
  const session = await runner.connect();

  expect(await label(world, hook, ["agent:code", "status:todo"])).toBe("started");
  const place = await session.next("place");
  await until("it is being done", () => forge.history.at(-1) === "status:doing");
  session.say(exited(place));
  await until("it is done", () => forge.history.at(-1) === "status:done");

  expect(forge.history.filter((one, index, all) => one !== all[index - 1] && !one.includes(" "))).toEqual([
    "status:todo",
    "status:doing",
    "status:done",
  ]);
  expect(await label(world, hook, ["agent:code", "status:done"])).toMatch(/^status_labels: it has status:done already/);
  expect((await world.admin.runs.listRuns({})).runs).toHaveLength(1);
});

test("an issue has one run: the same agents start no other, and other agents take its place", async () => {
  await using forge = await openForge();
  await using world = await createWorld({ file_sources: "true", outgoing_private: "true" });
  const hook = await createAgentHook(world, forge.url);

  expect(await label(world, hook, ["agent:code"])).toBe("started");
  expect(await label(world, hook, ["agent:code", "priority:high"])).toBe("issue: run 1 works on it");
  expect(await label(world, hook, ["agent:review"])).toBe("started");

  const { runs } = await world.admin.runs.listRuns({});
  expect(runs.map(({ number, state }) => [Number(number), state])).toEqual([
    [2, RunState.QUEUED],
    [1, RunState.CANCELLED],
  ]);
  expect(runs[1]!.message).toBe("its issue asks for other agents now");
});
