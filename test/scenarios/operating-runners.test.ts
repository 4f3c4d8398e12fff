import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";
import { SimulationSchema, WorkloadPhase } from "../../proto/gen/agyn/orchestrator/v1/workload_pb.ts";
import { Availability, RunnerStatus } from "../../proto/gen/agyn/runners/v1/runner_pb.ts";
import { createMeeting } from "../support/meeting.ts";
import { createWorld, script, until, untilEnded, type World } from "../support/world.ts";

const short = { command: { case: "simulation" as const, value: create(SimulationSchema) } };
const get = async (world: World, workload: string) =>
  (await world.admin.orchestrator.getWorkload({ workload })).workload!;
const runner = async (world: World) => (await world.admin.runners.getRunner({ runner: "build-1" })).runner!;
const startRunning = async (world: World, text: string) => {
  const { workload } = await world.admin.orchestrator.startWorkload({ spec: script(text) });
  await until("it runs", async () => (await get(world, workload!.id)).phase >= WorkloadPhase.RUNNING);
  return workload!.id;
};
const untilWaiting = (world: World, workload: string, why: RegExp) =>
  until("it waits and says why", async () => why.test((await get(world, workload)).message));

test("a paused runner finishes what it has and takes nothing new until it is resumed", async () => {
  await using world = await createWorld();
  world.startRunner(await world.register("build-1"));
  await using meeting = await createMeeting();
  const old = await startRunning(world, `${meeting.script}; exit 4`);

  await world.admin.runners.pauseRunner({ runner: "build-1", reason: "spring cleaning" });
  const { workload: fresh } = await world.admin.orchestrator.startWorkload({ spec: short });
  await untilWaiting(world, fresh!.id, /spring cleaning/);
  await meeting.release();
  expect(await untilEnded(world.admin, old)).toMatchObject({ result: { exitCode: 4 } });
  expect((await get(world, fresh!.id)).phase).toBe(WorkloadPhase.PENDING);
  await world.admin.runners.resumeRunner({ runner: "build-1" });

  expect(await untilEnded(world.admin, fresh!.id)).toMatchObject({ phase: WorkloadPhase.SUCCEEDED });
});

test("a draining runner finishes what it has, leaves, and comes back by a resume and a start", async () => {
  await using world = await createWorld();
  const registered = await world.register("build-1");
  const first = world.startRunner(registered);
  await using meeting = await createMeeting();
  const old = await startRunning(world, `${meeting.script}; exit 4`);

  await world.admin.runners.drainRunner({ runner: "build-1" });
  const { workload: fresh } = await world.admin.orchestrator.startWorkload({ spec: short });
  await meeting.release();
  expect(await untilEnded(world.admin, old)).toMatchObject({ result: { exitCode: 4 } });
  await until("it has left", () => first.process.exitCode !== null);
  expect(first.process.exitCode).toBe(0);
  expect(await runner(world)).toMatchObject({
    status: RunnerStatus.OFFLINE,
    availability: Availability.DRAINING,
  });

  await world.admin.runners.resumeRunner({ runner: "build-1" });
  world.startRunner(registered);
  expect(await untilEnded(world.admin, fresh!.id)).toMatchObject({ phase: WorkloadPhase.SUCCEEDED });
});

test("a waiting workload is cancelled at once when people stop it", async () => {
  await using world = await createWorld();
  await world.register("build-1");
  const pendingTimeout = durationFromMs(60_000);
  const { workload } = await world.admin.orchestrator.startWorkload({ spec: short, pendingTimeout });

  const { workload: stopped } = await world.admin.orchestrator.stopWorkload({ workload: workload!.id, reason: "no" });

  expect(stopped).toMatchObject({ phase: WorkloadPhase.CANCELLED, message: "no" });
});

test("the audit has a reason where one was given, and none where nobody said one", async () => {
  await using world = await createWorld();
  const { id } = await world.register("build-1");

  await world.admin.runners.pauseRunner({ runner: "build-1", reason: "spring cleaning" });
  await world.admin.runners.resumeRunner({ runner: "build-1" });

  const scope = { kind: { case: "organization", value: "" } } as const;
  const { auditEvents } = await world.admin.audit.listAuditEvents({ scope, objectId: id });
  expect(auditEvents.slice(0, 2).map(({ action, details }) => [action, details])).toEqual([
    ["runner.resume", {}],
    ["runner.pause", { reason: "spring cleaning" }],
  ]);
});
