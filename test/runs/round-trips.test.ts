import { afterAll, expect, test } from "vitest";
import { advanceRun } from "../../server/src/runs/advance-run.ts";
import { holdRun } from "../../server/src/runs/held-run.ts";
import { startRun } from "../../server/src/runs/start-run.ts";
import type { SqlOrTransaction } from "../../server/src/store/database.ts";
import { listSupersededJobs, listSupersededRuns } from "../../server/src/store/run-groups.ts";
import { insertOrganization } from "../../server/src/store/organizations.ts";
import { lookForDue } from "../../server/src/store/runs.ts";
import { countRoundTrips } from "../support/round-trips.ts";
import { createRunWorld } from "./run-world.ts";

const world = await createRunWorld();
afterAll(() => world[Symbol.asyncDispose]());

const cause = { kind: "manual", userId: "usr_1", triggerId: "", deliveryId: "", event: "" } as const;
const nothing = { ref: "", bundleDigest: "", inputs: {}, labels: {}, name: "", priority: 0, event: null };

test.each([1, 200])(
  "a run of %d jobs starts in two round trips: what it needs to know, and what becomes of it",
  async (count) => {
    const { sql, trips } = countRoundTrips(world.sql);
    const jobs = Array.from({ length: count }, (_, index) => `  j${index}: { run: x }\n`).join("");
    const asked = { project: undefined, pipeline: "p.yaml", content: Buffer.from(`jobs:\n${jobs}`), cause, ...nothing };

    const run = await startRun({ ...world.startDeps, sql }, { organizationId: world.organization.id, ...asked });

    expect(trips()).toBe(2);
    expect(run.jobs).toEqual({ queued: count });
  },
);

test("a run is taken on in three round trips: what it is, where its next job joins the queue, what follows", async () => {
  const run = await world.start("jobs:\n  a: { run: x }\n  b: { run: x, needs: a }\n");
  const { a } = await world.jobs(run);
  await world.claim([a!.id]);
  await world.end(a!, "succeeded");
  const { sql, trips } = countRoundTrips(world.sql);

  await advanceRun({ ...world.startDeps, sql }, run.id);

  expect(trips()).toBe(3);
  expect(await world.states(run)).toEqual({ a: "succeeded", b: "queued" });
});

test("a run of which nothing changed is taken on in one round trip, and what was asked is done in a second", async () => {
  const run = await world.start("jobs:\n  a: { run: x }\n");
  const { sql, trips } = countRoundTrips(world.sql);
  await advanceRun({ ...world.startDeps, sql }, run.id);
  expect(trips()).toBe(1);

  await world.sql`update run set advance_requested = true where id = ${run.id}`;
  await advanceRun({ ...world.startDeps, sql }, run.id);

  expect(trips()).toBe(3);
  expect(await world.sql`select from run where id = ${run.id} and advance_requested`).toHaveLength(0);
});

test("who looks for members of groups reads nothing of the jobs that wait without one", async () => {
  await crowd("crowded");

  const rows = await world.sql.begin(async (transaction) => {
    // What the connection read before may be counted here, too.
    const before = await jobsRead(transaction);
    // PostgreSQL settles on one plan for all parameters after a few times.
    for (let turn = 0; turn < 8; turn++) {
      expect(await lookForDue(transaction, 100)).toEqual({ runs: [], hasGroups: false });
      await listSupersededJobs(transaction, 1000);
      await listSupersededRuns(transaction, 1000);
    }
    return (await jobsRead(transaction)) - before;
  });

  expect(rows).toBeLessThan(100);
});

test("a run beside one of many jobs is held by plans made once, which read no jobs but its own", async () => {
  await crowd("skewed");
  const run = await world.start("jobs:\n  a: { run: x }\n  b: { run: x, needs: a }\n");

  await world.sql.begin(async (transaction) => {
    await holdRun(transaction, run.id);
    const before = { made: await plansMade(transaction), read: await jobsRead(transaction) };
    for (let turn = 0; turn < 8; turn++) await holdRun(transaction, run.id);

    expect(await plansMade(transaction)).toBe(before.made);
    expect((await jobsRead(transaction)) - before.read).toBeLessThan(100);
  });
});

/** A run of an organization of its own in which twenty thousand jobs wait. */
async function crowd(name: string): Promise<void> {
  const organization = await insertOrganization(world.sql, name, null);
  const run = await world.start("jobs:\n  a: { run: x }\n", undefined, organization.id);
  await world.sql`
    insert into job (id, organization_id, run_id, run_number, attempt, name, definition, state, rank, tag, queue_time)
    select ${`job_${name}`} || n, ${organization.id}, ${run.id}, 1, 1, 'many' || n, 'many', 'queued', lpad(to_hex(n), 12, '0') || 'i', n,
      now()
    from generate_series(1, 20000) as n`;
  await world.sql`vacuum analyze job`;
}

async function jobsRead(transaction: SqlOrTransaction): Promise<number> {
  const [row] = await transaction<{ read: bigint }[]>`
    select seq_tup_read + idx_tup_fetch as read from pg_stat_xact_user_tables where relname = 'job'`;
  return Number(row?.read ?? 0);
}

/** Plans for one set of parameters, of the statements of this connection. */
async function plansMade(transaction: SqlOrTransaction): Promise<number> {
  const [row] = await transaction<{ made: number }[]>`
    select coalesce(sum(custom_plans), 0)::int as made from pg_prepared_statements`;
  return row!.made;
}
