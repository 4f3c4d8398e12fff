import pino from "pino";
import { afterAll, expect, test } from "vitest";
import { createRunBeginner } from "../../server/src/loops/begin-runs.ts";
import { createRunWorld } from "../runs/run-world.ts";

const world = await createRunWorld();
afterAll(() => world[Symbol.asyncDispose]());

function beginner() {
  const { startDeps } = world;
  return createRunBeginner({ ...startDeps, log: pino({ level: "silent" }), leads: () => true });
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
