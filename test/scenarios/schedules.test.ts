import { expect, test } from "vitest";
import { CauseKind } from "../../proto/gen/agyn/runs/v1/run_pb.ts";
import { DeliveryState, OverlapPolicy } from "../../proto/gen/agyn/triggers/v1/triggers_service_pb.ts";
import { createWeb, untilSettled } from "../support/triggers.ts";
import { createWorld, until, type World } from "../support/world.ts";

const settings = { file_sources: "true" };

async function createSchedule(
  world: World,
  { name = "nightly", overlap }: { name?: string; overlap?: OverlapPolicy } = {},
) {
  const schedule = { cron: "0 3 * * *", timeZone: "Europe/Berlin", overlap: overlap ?? OverlapPolicy.UNSPECIFIED };
  const config = { pipeline: "build.yaml", kind: { case: "schedule", value: schedule } } as const;
  const { trigger } = await world.admin.triggers.createTrigger({ project: "web", name, config });
  return trigger!;
}

/** The schedule's time comes now. */
async function comeDue(world: World, triggerId: string, ago = "1 second"): Promise<void> {
  await world.database.sql`update trigger set next_time = now() - ${ago}::interval where id = ${triggerId}`;
}

test("a schedule that is due starts a run, and comes due again", async () => {
  await using world = await createWorld(settings);
  await createWeb(world);
  const trigger = await createSchedule(world);
  await comeDue(world, trigger.id);

  const [delivery] = await untilSettled(world, trigger);

  expect(delivery).toMatchObject({ state: DeliveryState.STARTED, event: "schedule" });
  const { run } = await world.admin.runs.getRun({ run: delivery!.runId });
  expect(run!.cause).toMatchObject({ kind: CauseKind.SCHEDULE, triggerId: trigger.id });
  const next = (await world.admin.triggers.getTrigger({ trigger: "web/nightly" })).trigger!.nextTime!;
  expect(Number(next.seconds)).toBeGreaterThan(Date.now() / 1000);
});

test("two replicas fire a time once, and sixty schedules at one time once each (bad-28)", async () => {
  await using world = await createWorld(settings);
  await createWeb(world);
  await world.addReplica();
  for (let index = 0; index < 60; index += 1) await createSchedule(world, { name: `s-${index}` });
  await world.database.sql`update trigger set next_time = now()`;

  const all = async () => (await world.admin.runs.listRuns({ pageSize: 1000 })).runs;
  await until("all have started", async () => (await all()).length >= 60, 50_000);
  const runs = await all();

  expect(new Set(runs.map(({ cause }) => cause!.triggerId)).size).toBe(60);
  expect(runs).toHaveLength(60);
});

test("a schedule passes over its time while its run before is live, or cancels that run, as it says", async () => {
  await using world = await createWorld(settings);
  await createWeb(world);
  const skipping = await createSchedule(world);
  const cancelling = await createSchedule(world, { name: "newest", overlap: OverlapPolicy.CANCEL_OLDER });
  for (const { id } of [skipping, cancelling]) await comeDue(world, id);
  await untilSettled(world, skipping);
  const [older] = await untilSettled(world, cancelling);
  for (const { id } of [skipping, cancelling]) await comeDue(world, id);

  const [skipped] = await untilSettled(world, skipping, 2);
  const [newer] = await untilSettled(world, cancelling, 2);

  expect(skipped).toMatchObject({
    state: DeliveryState.REFUSED,
    reason: expect.stringMatching(/^overlap: run \d+ is live/),
  });
  expect(newer!.state).toBe(DeliveryState.STARTED);
  const { run } = await world.admin.runs.getRun({ run: older!.runId });
  expect(run!.message).toBe("a newer run of its schedule began");
});

test("a schedule that waits for the run before starts when that has ended", async () => {
  await using world = await createWorld(settings);
  await createWeb(world);
  const trigger = await createSchedule(world, { overlap: OverlapPolicy.QUEUE });
  await comeDue(world, trigger.id);
  const [first] = await untilSettled(world, trigger);
  await comeDue(world, trigger.id);
  await until("the second waits", async () => {
    const { deliveries } = await world.admin.triggers.listDeliveries({ trigger: trigger.id });
    return deliveries.some(({ reason }) => reason.startsWith("overlap: waits"));
  });

  await world.admin.runs.cancelRuns({ filter: { runs: [first!.runId] } });

  expect((await untilSettled(world, trigger, 2))[0]).toMatchObject({ state: DeliveryState.STARTED, tries: 1 });
});

test("a trigger that is off starts nothing, and an older version that is on acts when the newest is off", async () => {
  await using world = await createWorld(settings);
  await createWeb(world);
  const { id } = await createSchedule(world);
  const { triggers } = world.admin;
  const { trigger } = await triggers.getTrigger({ trigger: id });
  const config = { ...trigger!.config!, priority: 5 };
  await triggers.updateTrigger({ trigger: id, config });

  const older = await triggers.disableTrigger({ trigger: id, version: 2 });
  const off = await triggers.disableTrigger({ trigger: id });
  const on = await triggers.enableTrigger({ trigger: id });

  expect(older.trigger).toMatchObject({ version: 1, config: { priority: 0 } });
  expect(off.trigger).toMatchObject({ version: 0 });
  expect(off.trigger!.nextTime).toBeUndefined();
  expect(on.trigger).toMatchObject({ version: 2, config: { priority: 5 } });
  expect(on.trigger!.versions.map(({ enabled }) => enabled)).toEqual([true, false]);
});
