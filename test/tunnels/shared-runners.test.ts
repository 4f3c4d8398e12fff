import { createServer, type AddressInfo, type Server } from "node:net";
import { once } from "node:events";
import { ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { Operator } from "../../proto/gen/agyn/orchestrator/v1/demand_pb.ts";
import { WorkloadPhase } from "../../proto/gen/agyn/orchestrator/v1/workload_pb.ts";
import { maximumTunnels } from "../../runner/src/tunnels.ts";
import { createWorld, script, until, untilConnected, type World } from "../support/world.ts";
import { exec, patientSettings } from "./support.ts";

let world: World;
let listener: Server;
let port: number;

beforeAll(async () => {
  listener = createServer((socket) => socket.resume()).listen(0, "127.0.0.1");
  await once(listener, "listening");
  port = (listener.address() as AddressInfo).port;
  world = await createWorld(patientSettings);
  await world.admin.organizations.createOrganization({ name: "acme" });
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
  listener.close();
});

/** A runner of the whole cluster. */
async function shareRunner(name: string, ...more: string[]): Promise<void> {
  const runner = await world.register(name, { cluster: true, labels: { only: name } });
  world.startRunner(runner, { arguments: ["--unsafe-shared-user", ...more] });
  await untilConnected(world, runner);
}

/** A workload of an organization, once it runs on the runner. */
async function start(organization: string, runner: string): Promise<string> {
  const { orchestrator } = world.admin;
  const demand = { requirements: [{ key: "only", operator: Operator.IN, values: [runner] }] };
  const { workload } = await orchestrator.startWorkload({ organization, spec: script("sleep 600"), demand });
  await until("it runs", async () => {
    const now = await orchestrator.getWorkload({ workload: workload!.id });
    return now.workload!.phase === WorkloadPhase.RUNNING;
  });
  return workload!.id;
}

/** Forwards to the port until the test is over; answers with what it is told first. */
async function forward(workload: string): Promise<string> {
  const leaving = new AbortController();
  onTestFinished(() => leaving.abort());
  async function* requests() {
    yield { workload, kind: { case: "start" as const, value: { port } } };
    await new Promise(() => undefined);
  }
  const outputs = world.admin.tunnels.forward(requests(), { signal: leaving.signal })[Symbol.asyncIterator]();
  return outputs.next().then(
    ({ value }) => String(value?.output?.kind.case),
    (error: unknown) => ConnectError.from(error).rawMessage,
  );
}

test("I7: nobody reaches the ports of a machine that serves every organization, unless its operator says so", async () => {
  await shareRunner("careful");
  const workload = await start("default", "careful");
  expect(await forward(workload)).toContain("unless it is started with --unsafe-shared-forward");
  expect(await exec(world.admin, workload, ["echo", "but in"])).toMatchObject({ stdout: "but in\n" });
});

test("I13: an organization takes no more tunnels into a shared runner than it leaves to others", async () => {
  await shareRunner("generous", "--unsafe-shared-forward");
  const [ours, theirs] = [await start("default", "generous"), await start("acme", "generous")];
  const half = maximumTunnels / 2;
  const many = Array.from({ length: half }, () => forward(ours));
  expect(new Set(await Promise.all(many))).toEqual(new Set(["started"]));
  expect(await forward(ours)).toContain(`this organization has ${half} tunnels into this runner open already`);
  expect(await forward(theirs)).toBe("started");
});
