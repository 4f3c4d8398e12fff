import { expect, test } from "vitest";
import { JobState, RunState } from "../../proto/gen/agyn/runs/v1/run_pb.ts";
import { WorkloadPhase } from "../../proto/gen/agyn/orchestrator/v1/workload_pb.ts";
import { createProtocolRunner, exited } from "../support/protocol-runner.ts";
import { createWorld, script, until, untilEnded } from "../support/world.ts";

test.each([
  ["a spec that does not parse", "spec = '\\xff'"],
  ["a demand without resources", "demand = (demand::jsonb - 'resources')::json"],
  ["a demand that is null", "demand = 'null'"],
  ["requirements that are text", `demand = (demand::jsonb || '{"requirements": "x"}')::json`],
])("bad-55: %s in a row fails that workload visibly, and nothing else", async (_name, damage) => {
  await using world = await createWorld();
  const registered = await world.register("build-1");
  const start = () => world.admin.orchestrator.startWorkload({ spec: script("true") });
  const { workload: damaged } = await start();
  const { workload: sound } = await start();
  await world.database.sql.unsafe(`update workload set ${damage} where id = $1`, [damaged!.id]);
  await world.restartServer();
  await using runner = await createProtocolRunner(world, registered);
  const session = await runner.connect();

  const place = await session.next("place");
  session.say(exited(place));

  expect(await untilEnded(world.admin, sound!.id)).toMatchObject({ phase: WorkloadPhase.SUCCEEDED });
  const failed = await untilEnded(world.admin, damaged!.id);
  expect(failed).toMatchObject({
    phase: WorkloadPhase.FAILED,
    message: expect.stringMatching(/^its record cannot be read/),
  });
  const { workloads } = await world.admin.orchestrator.listWorkloads({});
  expect(workloads.map((one) => one.id)).toEqual([sound!.id, damaged!.id]);
});

test("bad-55: a runner's damaged report keeps neither the server from starting nor others from being placed on", async () => {
  await using world = await createWorld();
  await world.register("broken");
  const registered = await world.register("sound");
  await world.database.sql`update runner set reported = '{"labels": 7, "executors": null}' where name = 'broken'`;
  await world.restartServer();

  await using runner = await createProtocolRunner(world, registered);
  const session = await runner.connect();
  await world.admin.orchestrator.startWorkload({ spec: script("true") });

  expect(await session.next("place")).toBeDefined();
  expect((await world.admin.runners.listRunners({})).runners.map((one) => one.name)).toEqual(["broken", "sound"]);
});

test.each([
  ["without resources", "demand = (demand::jsonb - 'resources')::json"],
  ["that is null", "demand = 'null'"],
  ["that is text", `demand = '"x"'`],
])("bad-55: a queued job with a demand %s fails visibly, and the other jobs run", async (_name, damage) => {
  await using world = await createWorld();
  const content = Buffer.from("jobs: { bad: { run: 'true' }, good: { run: 'true' } }");
  const { run } = await world.admin.runs.startRun({ pipeline: "a.yaml", content });
  await world.database.sql.unsafe(`update job set ${damage}, change_xid = pg_current_xact_id() where name = 'bad'`);
  await world.restartServer();
  await using runner = await createProtocolRunner(world, await world.register("build-1"));
  const session = await runner.connect();

  session.say(exited(await session.next("place")));

  await until(
    "the run ended",
    async () => (await world.admin.runs.getRun({ run: run!.id })).run!.state === RunState.FAILED,
  );
  const { jobs } = await world.admin.runs.listJobs({ run: run!.id });
  expect(jobs.map(({ name, state }) => [name, state])).toEqual([
    ["bad", JobState.FAILED],
    ["good", JobState.SUCCEEDED],
  ]);
  expect(jobs[0]!.message).toBe("its record cannot be read: the demand is malformed");
});
