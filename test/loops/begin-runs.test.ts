import pino from "pino";
import { afterAll, expect, test } from "vitest";
import { createRunBeginner } from "../../server/src/loops/begin-runs.ts";
import { createRunWorld } from "../runs/run-world.ts";
import { countRoundTrips } from "../support/round-trips.ts";

const world = await createRunWorld();
afterAll(() => world[Symbol.asyncDispose]());

function beginner(sql = world.sql) {
  const { startDeps } = world;
  return createRunBeginner({ ...startDeps, sql, log: pino({ level: "silent" }), leads: () => true });
}

test("a run of which a former leader took a job is running from the first turn of the next one", async () => {
  const run = await world.start("jobs:\n  a: { run: x }\n  b: { run: x }\n");
  const { a } = await world.jobs(run);
  await world.claim([a!.id]);

  await beginner().turn();

  expect(await world.run(run)).toMatchObject({ state: "running", jobs: { running: 1, queued: 1 } });
});

test("a run that goes on is counted anew with each job that is taken, and written once for several", async () => {
  const run = await world.start("jobs:\n  a: { run: x }\n  b: { run: x }\n  c: { run: x }\n");
  const { a, b, c } = await world.jobs(run);
  const runs = beginner();
  await world.claim([a!.id]);
  runs.note([run.id]);
  await runs.turn();
  await world.claim([b!.id, c!.id]);
  runs.note([run.id, run.id]);
  await runs.turn();
  const counted = await world.run(run);
  runs.note([run.id]);
  await runs.turn();

  expect(counted.jobs).toEqual({ running: 3 });
  expect((await world.run(run)).changeXid).toBe(counted.changeXid);
});

test("runs that have ended since their jobs were taken are not taken on: one look finds that out for all of them", async () => {
  const { sql, trips } = countRoundTrips(world.sql);
  const runs = beginner(sql);
  await runs.turn();
  const ended = await Promise.all([1, 2, 3].map(() => world.start("jobs:\n  a: { run: x, if: 'false' }\n")));
  const before = trips();
  runs.note(ended.map((run) => run.id));

  await runs.turn();

  expect(trips() - before).toBe(1);
});
