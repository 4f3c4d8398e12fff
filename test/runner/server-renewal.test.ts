import { afterAll, beforeAll, expect, test } from "vitest";
import { WorkloadPhase } from "../../proto/gen/agyn/orchestrator/v1/workload_pb.ts";
import { Availability, RunnerStatus } from "../../proto/gen/agyn/runners/v1/runner_pb.ts";
import { toDuration } from "../../runner/src/wire-time.ts";
import { openServerWorld, type ServerWorld } from "./server-world.ts";
import { ownTime_ms } from "../support/own-time.ts";

let world: ServerWorld;

beforeAll(async () => {
  world = await openServerWorld({ certificate_ttl: "8s" });
});
afterAll(() => world.close());

const runnerOf = async (runner: string) => (await world.runners.getRunner({ runner })).runner;

const enrolled = (runner: string) =>
  expect.poll(async () => (await runnerOf(runner))?.status).toBe(RunnerStatus.ENROLLED);

test("identities are renewed during a job, which loses nothing", async () => {
  const { runnerId } = await world.startRunner("alpha");
  await enrolled(runnerId);
  const value = { duration: toDuration(9000), lines: 900n };
  const { workload } = await world.orchestrator.startWorkload({
    organization: "default",
    demand: { executor: "simulated" },
    spec: { command: { case: "simulation", value } },
  });
  const id = workload?.id ?? "";

  const ended = await world.workloadIn(id, WorkloadPhase.SUCCEEDED);

  expect(ended.phase).toBe(WorkloadPhase.SUCCEEDED);
  const after = await runnerOf(runnerId);
  expect(after?.identity?.generation).toBeGreaterThanOrEqual(2n);
  expect(after?.availability).toBe(Availability.ACTIVE);
  await expect.poll(async () => (await world.logs.readLog({ workload: id })).ended).toBe(true);
  const { lines } = await world.logs.readLog({ workload: id });
  expect(lines.map(({ number }) => number)).toEqual(Array.from({ length: 900 }, (_, index) => BigInt(index)));
});

test("a runner whose identity expired while it was off renews it by its key", async () => {
  const { runner, runnerId, tokenText } = await world.startRunner("bravo");
  await enrolled(runnerId);
  const before = (await runnerOf(runnerId))?.identity;
  runner.stop(0);
  await runner.done;
  const expireMs = Number(before?.expireTime?.seconds ?? 0n) * 1000;
  await expect.poll(() => Date.now() > expireMs).toBe(true);

  await world.startRunner("bravo", { tokenText });

  await enrolled(runnerId);
  const after = (await runnerOf(runnerId))?.identity;
  expect(after?.id).toBe(before?.id);
  expect(after?.generation).toBeGreaterThan(before?.generation ?? 0n);
});

test("a runner whose identity is revoked gives up within a second", async () => {
  const { runner, runnerId } = await world.startRunner("charlie");
  await enrolled(runnerId);

  await world.runners.revokeIdentity({ runner: runnerId });

  const giving = expect(runner.done).rejects.toThrow("was revoked");
  expect(await ownTime_ms(() => giving)).toBeLessThan(1000);
});
