import { afterAll, expect, test } from "vitest";
import { demandFromJson } from "../../server/src/domain/workload.ts";
import { advanceRun, type Advanced } from "../../server/src/runs/advance-run.ts";
import { startRun } from "../../server/src/runs/start-run.ts";
import { createRunWorld } from "./run-world.ts";

const world = await createRunWorld();
afterAll(() => world[Symbol.asyncDispose]());

const cause = { kind: "manual", userId: "usr_1", triggerId: "", deliveryId: "", event: "" } as const;
const nothing = { ref: "", bundleDigest: "", inputs: {}, labels: { team: "ml" }, name: "", priority: 3, event: null };
const text = `
timeout: 1h
jobs:
  a: { run: x, requires: { labels: { zone: west }, capabilities: [gpu], resources: { slots: 2, cpu: 1 } } }
  b: { run: x, needs: a, retries: { max: 2, on: [lost] } }
  c: { run: x, if: "false" }
`;

/** Starts a run; answers what is told of it. */
async function start(): Promise<Advanced> {
  const told: Advanced[] = [];
  const deps = { ...world.startDeps, onAdvanced: (advanced: Advanced) => told.push(advanced) };
  const asked = { project: undefined, pipeline: "p.yaml", content: Buffer.from(text), cause, ...nothing };
  await startRun(deps, { organizationId: world.organization.id, ...asked });
  return told[0]!;
}

/** Of what was told, the fields of the record; the store has every whole number as a bigint where it has one. */
function recordOf<Row extends object>(told: Row, stored: Row): object {
  const fields = Object.entries(stored).map(([name, value]) => {
    const said: unknown = told[name as keyof Row];
    return [name, typeof value === "bigint" && typeof said === "number" ? BigInt(said) : said];
  });
  return Object.fromEntries(fields) as object;
}

test("what is told of a run and its jobs as they start is what the store has of them", async () => {
  const { run, jobs } = await start();

  const [storedRun, stored] = [await world.run(run), await world.jobs(run)];
  expect(recordOf(run, storedRun)).toEqual(storedRun);
  expect(jobs.map((job) => job.state)).toEqual(["queued", "skipped"]);
  for (const job of jobs) expect(recordOf(job, stored[job.name]!)).toEqual(stored[job.name]);
});

test("what is told of a run and its jobs as it is taken on is what the store has of them", async () => {
  const started = await start();
  await world.claim([started.jobs[0]!.id]);
  await world.end(started.jobs[0]!, "succeeded");

  const { run, jobs } = (await advanceRun(world.startDeps, started.run.id))!;

  const [storedRun, stored] = [await world.run(run), await world.jobs(run)];
  expect(recordOf(run, storedRun)).toEqual(storedRun);
  expect(jobs.map((job) => job.state)).toEqual(["succeeded", "queued"]);
  for (const job of jobs) expect(recordOf(job, stored[job.name]!)).toEqual(stored[job.name]);
});

test("a job asks for the same by its text, told of or read from the store", async () => {
  const { run, jobs } = await start();
  const textOf = (demand: (typeof jobs)[number]["demand"]) => {
    const read = demandFromJson(demand!);
    return JSON.stringify({ ...read, resources: [...read.resources] });
  };

  const { a } = await world.jobs(run);
  expect(textOf(jobs[0]!.demand)).toBe(textOf(a!.demand));
});
