import { afterAll, beforeAll, expect, test } from "vitest";
import { Operator } from "../../proto/gen/agyn/orchestrator/v1/demand_pb.ts";
import { WorkloadPhase } from "../../proto/gen/agyn/orchestrator/v1/workload_pb.ts";
import { RunnerStatus } from "../../proto/gen/agyn/runners/v1/runner_pb.ts";
import { toDuration } from "../../runner/src/wire-time.ts";
import { openServerWorld, type ServerWorld } from "./server-world.ts";

let world: ServerWorld;

beforeAll(async () => {
  world = await openServerWorld();
});
afterAll(() => world.close());

/** Starts a workload on the runner of this name. */
async function start(runner: string, text: string): Promise<string> {
  const requirements = [{ key: "name", operator: Operator.IN, values: [runner] }];
  const command = { case: "script" as const, value: { text } };
  const demand = { executor: "process", requirements };
  const { workload } = await world.orchestrator.startWorkload({ organization: "default", demand, spec: { command } });
  if (workload === undefined) throw new Error("no workload was started");
  return workload.id;
}

async function startSimulated(runner: string, simulation: { durationMs: number; lines?: number }): Promise<string> {
  const requirements = [{ key: "name", operator: Operator.IN, values: [runner] }];
  const value = { duration: toDuration(simulation.durationMs), lines: BigInt(simulation.lines ?? 0) };
  const { workload } = await world.orchestrator.startWorkload({
    organization: "default",
    demand: { executor: "simulated", requirements },
    spec: { command: { case: "simulation", value } },
  });
  if (workload === undefined) throw new Error("no workload was started");
  return workload.id;
}

async function linesOf(workload: string): Promise<string[]> {
  await expect.poll(async () => (await world.logs.readLog({ workload, limit: 100_000 })).ended).toBe(true);
  const { lines } = await world.logs.readLog({ workload, limit: 100_000 });
  return lines.map(({ content }) => Buffer.from(content).toString());
}

const enrolled = (runner: string) => expect.poll(() => statusOf(runner)).toBe(RunnerStatus.ENROLLED);
const statusOf = async (runner: string) => (await world.runners.getRunner({ runner })).runner?.status;

test("a runner enrolls, runs a script, and everything that is to be known of it arrives", async () => {
  const { runnerId } = await world.startRunner("alpha", { executors: ["process"] });
  await enrolled(runnerId);

  const id = await start("alpha", "echo hello; echo oops >&2; exit 3");

  const ended = await world.workloadIn(id, WorkloadPhase.FAILED);
  expect(ended).toMatchObject({ runnerName: "alpha", result: { exitCode: 3 } });
  expect((await linesOf(id)).toSorted()).toEqual(["hello", "oops"]);
  const { runner } = await world.runners.getRunner({ runner: runnerId });
  expect(runner).toMatchObject({ executors: ["process"], capacity: { slots: 4 }, identity: { generation: 1n } });
  const metrics = world.runners.readMetrics({ runner: runnerId, follow: true });
  for await (const { samples } of metrics) {
    expect(samples[0]?.memoryTotalBytes).toBeGreaterThan(0n);
    break;
  }
});

test("a server that restarts in mid-job finds the runner, the job and its log again", async () => {
  const { runnerId } = await world.startRunner("bravo");
  await enrolled(runnerId);
  const id = await startSimulated("bravo", { durationMs: 4000, lines: 4000 });
  await world.workloadIn(id, WorkloadPhase.RUNNING);

  await world.restartServer();

  expect((await world.workloadIn(id, WorkloadPhase.SUCCEEDED)).phase).toBe(WorkloadPhase.SUCCEEDED);
  const numbers = (await linesOf(id)).map((line) => Number(line.split(" ")[1]));
  expect(numbers).toEqual(Array.from({ length: 4000 }, (_, index) => index));
});

test("a runner that leaves is offline at once, and the next process of it carries on with its identity", async () => {
  const { runner, runnerId, tokenText } = await world.startRunner("charlie");
  await enrolled(runnerId);
  const identity = (await world.runners.getRunner({ runner: runnerId })).runner?.identity?.id;

  runner.stop(0);
  await runner.done;
  await expect.poll(() => statusOf(runnerId), { timeout: 5000 }).toBe(RunnerStatus.OFFLINE);
  await world.startRunner("charlie", { tokenText });

  await enrolled(runnerId);
  expect((await world.runners.getRunner({ runner: runnerId })).runner?.identity?.id).toBe(identity);
});

test("bad-01: of many processes with one token one is connected, the others wait, and take its place when it leaves", async () => {
  const tokenText = await world.register("delta");
  const options = { tokenText, isEphemeral: true, dataDirectory: undefined };
  const started = await Promise.all(Array.from({ length: 5 }, () => world.startRunner("delta", options)));
  const runnerId = started[0]?.runnerId ?? "";
  await enrolled(runnerId);

  const id = await startSimulated("delta", { durationMs: 300 });

  expect((await world.workloadIn(id, WorkloadPhase.SUCCEEDED)).phase).toBe(WorkloadPhase.SUCCEEDED);
  for (const { runner } of started.slice(1)) runner.abandon();
});
