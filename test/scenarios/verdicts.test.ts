import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { ConnectError } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { ErrorInfoSchema } from "../../proto/gen/google/rpc/error_details_pb.ts";
import { DemandSchema, Operator } from "../../proto/gen/agyn/orchestrator/v1/demand_pb.ts";
import { Verdict } from "../../proto/gen/agyn/orchestrator/v1/explanation_pb.ts";
import { SimulationSchema, WorkloadPhase } from "../../proto/gen/agyn/orchestrator/v1/workload_pb.ts";
import { RunnerStatus } from "../../proto/gen/agyn/runners/v1/runner_pb.ts";
import { createWorld, until, untilEnded, type World } from "../support/world.ts";

const simulated = (simulation: Parameters<typeof create<typeof SimulationSchema>>[1] = {}) => ({
  command: { case: "simulation" as const, value: create(SimulationSchema, simulation) },
});
const needs = (key: string, ...values: string[]) =>
  create(DemandSchema, { requirements: [{ key, operator: Operator.IN, values }] });
const get = async (world: World, workload: string) =>
  (await world.admin.orchestrator.getWorkload({ workload })).workload!;
const untilEnrolled = (world: World, runner: string) =>
  until(`${runner} is enrolled`, async () => {
    const shown = (await world.admin.runners.getRunner({ runner })).runner!;
    return shown.status === RunnerStatus.ENROLLED;
  });

test("a demand nobody can ever meet fails at once, naming the constraint, the nearest runner and the record", async () => {
  await using world = await createWorld();
  await world.register("build-1", { labels: { zone: "b" } });
  await world.register("build-2", { labels: { zone: "a" } });
  const demand = create(DemandSchema, { ...needs("zone", "a"), capabilities: ["gpu"] });

  const refusal = await world.admin.orchestrator.startWorkload({ spec: simulated(), demand }).catch(ConnectError.from);

  const [info] = (refusal as ConnectError).findDetails(ErrorInfoSchema);
  expect(info).toMatchObject({ reason: "NO_RUNNER" });
  expect((refusal as ConnectError).rawMessage).toBe(
    'no runner can take this workload: capability "gpu" is on none of the 2 runners of organization default and the cluster; nearest: build-2 (lacks capability gpu)',
  );
  const recorded = await get(world, info!.metadata["workload_id"]!);
  expect(recorded).toMatchObject({ phase: WorkloadPhase.FAILED, verdict: Verdict.NEVER });
  expect(recorded.message).toBe((refusal as ConnectError).rawMessage);
  const { explanation } = await world.admin.orchestrator.explain({ subject: { case: "demand", value: demand } });
  expect(explanation).toMatchObject({ verdict: Verdict.NEVER, text: recorded.message, eligibleRunnerIds: [] });
});

test("a demand above every total capacity is never, not full", async () => {
  await using world = await createWorld();
  world.startRunner(await world.register("small"), { slots: 2 });
  await untilEnrolled(world, "small");
  const demand = create(DemandSchema, { resources: { slots: 3 } });

  const start = world.admin.orchestrator.startWorkload({ spec: simulated(), demand });

  await expect(start).rejects.toThrow(/no runner can take this workload: .*slots/);
});

test("a workload for a runner that is away waits, says why, and runs when the runner comes", async () => {
  await using world = await createWorld();
  const runner = await world.register("build-1");
  const { workload } = await world.admin.orchestrator.startWorkload({ spec: simulated() });
  const waiting = await until("it says why it waits", async () => {
    const shown = await get(world, workload!.id);
    return shown.verdict === Verdict.UNAVAILABLE && shown.message !== "" && shown;
  });
  const subject = { case: "workload" as const, value: workload!.id };
  const { explanation } = await world.admin.orchestrator.explain({ subject });

  expect(explanation!.verdict).toBe(Verdict.UNAVAILABLE);
  expect(waiting.message).toContain("build-1");
  world.startRunner(runner);
  expect(await untilEnded(world.admin, workload!.id)).toMatchObject({ phase: WorkloadPhase.SUCCEEDED, message: "" });
});

test("a workload that waits for too long fails with what it waited for", async () => {
  await using world = await createWorld();
  await world.register("build-1");

  const pendingTimeout = durationFromMs(700);
  const { workload } = await world.admin.orchestrator.startWorkload({ spec: simulated(), pendingTimeout });
  const ended = await untilEnded(world.admin, workload!.id);

  expect(ended.phase).toBe(WorkloadPhase.FAILED);
  expect(ended.message).toMatch(/^no runner took it within 0.7 s: .*build-1/);
});

test("a workload waits while the fleet is full and runs when a slot is free", async () => {
  await using world = await createWorld();
  world.startRunner(await world.register("build-1"), { slots: 1 });
  await untilEnrolled(world, "build-1");
  const first = await world.admin.orchestrator.startWorkload({
    spec: simulated({ duration: durationFromMs(60_000) }),
  });
  const second = await world.admin.orchestrator.startWorkload({ spec: simulated() });
  const full = await until("it waits for capacity", async () => {
    const shown = await get(world, second.workload!.id);
    return shown.verdict === Verdict.FULL && shown.message !== "" && shown;
  });
  expect(full.message).toMatch(/^the 1 runner that could take it is full/);

  await world.admin.orchestrator.stopWorkload({ workload: first.workload!.id });

  expect(await untilEnded(world.admin, second.workload!.id)).toMatchObject({ phase: WorkloadPhase.SUCCEEDED });
  expect(await get(world, first.workload!.id)).toMatchObject({ phase: WorkloadPhase.CANCELLED });
});

test("a runner that rejected a workload is passed over for it for a while, and Explain says so", async () => {
  await using world = await createWorld({ rejection_exclusion: "60s" });
  world.startRunner(await world.register("picky"));
  await untilEnrolled(world, "picky");

  const { workload } = await world.admin.orchestrator.startWorkload({ spec: simulated({ rejectReason: "not today" }) });
  await until("it was rejected", async () => {
    const shown = await get(world, workload!.id);
    return shown.phase === WorkloadPhase.PENDING && shown.verdict === Verdict.UNAVAILABLE;
  });
  const subject = { case: "workload" as const, value: workload!.id };
  const { explanation } = await world.admin.orchestrator.explain({ subject });

  const failing = explanation!.runners[0]!.rules.filter((rule) => !rule.ok);
  expect(failing).toMatchObject([{ rule: "exclusion", text: expect.stringContaining("rejected this workload") }]);
});

test("the exclusion after a rejection ends, and the workload is offered again", async () => {
  await using world = await createWorld({ rejection_exclusion: "300ms" });
  world.startRunner(await world.register("picky"));
  await untilEnrolled(world, "picky");
  const spec = simulated({ rejectReason: "not today" });

  const { workload } = await world.admin.orchestrator.startWorkload({ spec, pendingTimeout: durationFromMs(60_000) });

  const fences = new Set<bigint>();
  await until("it is offered three times", async () => fences.add((await get(world, workload!.id)).fence).size > 3);
});

test("among runners that fit, the preferred one is taken, and Explain's eligible runners hold the pick", async () => {
  await using world = await createWorld();
  for (const [name, zone] of [
    ["near", "a"],
    ["far", "b"],
  ] as const)
    world.startRunner(await world.register(name, { labels: { zone } }));
  await Promise.all(["near", "far"].map((name) => untilEnrolled(world, name)));
  const requirement = { key: "zone", operator: Operator.IN, values: ["a"] };
  const demand = create(DemandSchema, { preferences: [{ requirement, weight: 10 }] });

  const { explanation } = await world.admin.orchestrator.explain({ subject: { case: "demand", value: demand } });
  for (let start = 0; start < 4; start += 1) {
    const { workload } = await world.admin.orchestrator.startWorkload({ spec: simulated(), demand });
    const ended = await untilEnded(world.admin, workload!.id);
    expect(ended.runnerName).toBe("near");
    expect(explanation!.eligibleRunnerIds).toContain(ended.runnerId);
  }
});

test("bad-34: job-1 matches job-1 alone, not job-10, and a runner without the label matches nothing", async () => {
  await using world = await createWorld();
  await world.register("ten", { labels: { job: "job-10" } });
  await world.register("bare");
  const demand = needs("job", "job-1");

  const start = world.admin.orchestrator.startWorkload({ spec: simulated(), demand });

  await expect(start).rejects.toThrow(/no runner can take this workload: label job/);
  const { explanation } = await world.admin.orchestrator.explain({ subject: { case: "demand", value: demand } });
  expect(explanation!.runners.map((one) => one.rules.find(({ rule }) => rule === "labels")!.ok)).toEqual([
    false,
    false,
  ]);
});
