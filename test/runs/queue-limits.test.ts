import { afterAll, expect, test } from "vitest";
import { refuseBelongings } from "../../server/src/api/organizations-service.ts";
import { AgynError } from "../../server/src/domain/errors.ts";
import { recordJobWaits } from "../../server/src/store/job-waits.ts";
import { insertOrganization } from "../../server/src/store/organizations.ts";
import { updateQueueLimits } from "../../server/src/store/queue-settings.ts";
import { createRunWorld } from "./run-world.ts";

const world = await createRunWorld();
afterAll(() => world[Symbol.asyncDispose]());
const { sql } = world;

const jobs = (count: number) =>
  `jobs:\n${Array.from({ length: count }, (_, index) => `  j${index}: { run: x }\n`).join("")}`;
const thousand = `jobs:\n${Array.from({ length: 10 }, (_, index) => `  j${index}: { run: x, matrix: { n: [${Array.from({ length: 100 }, (_cell, n) => n).join(", ")}] } }\n`).join("")}`;
let organizations = 0;
async function organizationWith(maximumQueued: number) {
  const organization = await insertOrganization(sql, `limited-${organizations++}`, null);
  await updateQueueLimits(sql, organization.id, { maximumRunning: null, maximumQueued });
  return organization;
}

test("a run that the queue has no room for is refused with the limit, its value and the depth", async () => {
  const { id } = await organizationWith(1005);
  await world.start(jobs(6), undefined, id);

  const error = await world.start(thousand, undefined, id).catch((reason: unknown) => reason as AgynError);

  expect(error).toBeInstanceOf(AgynError);
  expect(error).toMatchObject({
    reason: "LIMIT",
    message:
      "the queue is full: 6 jobs wait, and 1000 more would pass the organization's limit of 1005 (maximum_queued_jobs)",
    details: { metadata: { limit: "maximum_queued_jobs", value: "1005", depth: "6", jobs: "1000" } },
  });
  expect(await sql`select from job where organization_id = ${id}`).toHaveLength(6);
});

test("bad-24: a limit that is lowered below what waits refuses the next run, and leaves those that wait", async () => {
  const { id } = await organizationWith(10);
  await world.start(jobs(8), undefined, id);
  await updateQueueLimits(sql, id, { maximumRunning: null, maximumQueued: 4 });

  await expect(world.start(jobs(1), undefined, id)).rejects.toThrow("8 jobs wait");

  expect(await sql`select from job where organization_id = ${id} and state = 'queued'`).toHaveLength(8);
});

test("runs that start at once on different replicas do not pass the limit together", async () => {
  const { id } = await organizationWith(10);

  const starts = await Promise.allSettled(Array.from({ length: 5 }, () => world.start(jobs(4), undefined, id)));

  expect(starts.filter((one) => one.status === "fulfilled")).toHaveLength(2);
  expect(await sql`select from job where organization_id = ${id} and state = 'queued'`).toHaveLength(8);
});

test("an organization with projects or live runs is kept, and the refusal counts them", async () => {
  const organization = await organizationWith(10);
  await sql`insert into project (id, organization_id, name) values ('prj_kept', ${organization.id}, 'kept')`;
  await world.start(jobs(1), undefined, organization.id);

  const refusal = refuseBelongings(sql, organization);

  await expect(refusal).rejects.toThrow("0 runners, 1 projects, 0 live workloads and 1 live runs");
});

test("why a job waits is written once, and not where it waits no more", async () => {
  const { id } = await organizationWith(10);
  const run = await world.start(jobs(2), undefined, id);
  const { j0, j1 } = await world.jobs(run);
  await world.claim([j1!.id]);
  const waits = [j0!, j1!].map((job) => ({ id: job.id, verdict: "full", message: "every runner is taken" }));

  expect([await recordJobWaits(sql, waits), await recordJobWaits(sql, waits)]).toEqual([1, 0]);

  const after = await world.jobs(run);
  expect(after["j0"]).toMatchObject({ verdict: "full", message: "every runner is taken" });
  expect(after["j1"]).toMatchObject({ state: "running", verdict: "", message: "" });
});
