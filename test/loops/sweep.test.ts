import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { createSweep } from "../../server/src/loops/sweep.ts";
import { chunkOf, openLogWorld, type LogWorld } from "../logs/support.ts";
import { createTestDatabase } from "../support/postgres.ts";

const database = await createTestDatabase();
const { sql } = database;
let logs: LogWorld;
beforeAll(async () => void (logs = await openLogWorld(sql)));
afterAll(async () => {
  await logs.close();
  await database.drop();
});
beforeEach(
  () =>
    sql`truncate run, workload, workload_end, log_segments, ended_logs, idempotency_key, audit_event, app_user cascade`,
);

const day_ms = 86_400_000;
const keep = {
  workloads_ms: 90 * day_ms,
  runs_ms: 90 * day_ms,
  audit_ms: 400 * day_ms,
  deliveries_ms: 30 * day_ms,
  idempotencyKeys_ms: day_ms,
  metrics_ms: day_ms / 4,
  generations_ms: 14 * day_ms,
  revocations_ms: day_ms,
};

/** Sweeps once as the leader; answers what was counted. */
async function sweepOnce(leads = true): Promise<Record<string, number>> {
  const swept: Record<string, number> = {};
  const sweep = createSweep({
    sql,
    keep,
    leads: () => leads,
    deleteLogs: (id) => logs.store.delete(id),
    onSwept: (kind, count) => (swept[kind] = (swept[kind] ?? 0) + count),
  });
  expect(await sweep()).toBe(false);
  return swept;
}

/** An ended workload of so many days ago, with a log of two sealed lines. */
async function endedWorkload(id: string, age: { created: number; ended: number }): Promise<void> {
  await sql`
    with record as (
      insert into workload (key, id, organization_id, spec, demand, pending_timeout_ms, created_by, create_time)
      select coalesce(max(key), 0) + 1, ${id}, 'org', '', '{}', 0, '', now() - ${age.created} * interval '1 day' from workload
      returning key
    )
    insert into workload_end (key, fence, organization_id, phase, pend_time, end_time, writer, message, verdict)
    select key, 1, 'org', 'succeeded', now(), now() - ${age.ended} * interval '1 day', '', '', '' from record`;
  await sealedLog(id);
}

async function sealedLog(workloadId: string): Promise<void> {
  await logs.store.append({ workloadId, fence: 1n, ...chunkOf(0, 2) });
  await logs.store.end({ workloadId, fence: 1n });
  await logs.store.seal();
}

const remaining = async () =>
  (await sql`select w.id from workload w join workload_end e on e.key = w.key order by w.key`).map(
    (row) => row["id"] as string,
  );
const hasBlobs = (id: string) => existsSync(join(logs.directory, "blobs", "logs", id));

test("an ended workload goes when it has been kept for long enough, with its log, and no other", async () => {
  await endedWorkload("wkl_expired", { created: 92, ended: 91 });
  await endedWorkload("wkl_long", { created: 200, ended: 89 });
  await endedWorkload("wkl_new", { created: 2, ended: 1 });

  expect(await sweepOnce()).toEqual({ workload: 1 });

  expect(await remaining()).toEqual(["wkl_long", "wkl_new"]);
  expect(["wkl_expired", "wkl_long", "wkl_new"].map(hasBlobs)).toEqual([false, true, true]);
  const segments = await sql`select workload_id from log_segments order by workload_id`;
  expect(segments.map((row) => row["workload_id"] as string)).toEqual(["wkl_long", "wkl_new"]);
  expect((await logs.store.read({ workloadId: "wkl_long", fence: 1n, fromLine: 0 })).nextLine).toBe(2);
});

test("a runner's wrong clock neither ends a workload's keeping early nor keeps it for ever", async () => {
  await endedWorkload("wkl_ahead", { created: 91, ended: -36_500 });
  await endedWorkload("wkl_behind", { created: 1, ended: 20_000 });

  await sweepOnce();

  expect(await remaining()).toEqual(["wkl_behind"]);
});

test("a sweep that was cut off between a log and its record goes on there", async () => {
  await endedWorkload("wkl_expired", { created: 92, ended: 91 });
  await logs.store.delete("wkl_expired");

  expect(await sweepOnce()).toEqual({ workload: 1 });
});

test("a log that cannot be deleted is said, kept with its record, and holds up no other", async () => {
  await endedWorkload("wkl_stuck", { created: 200, ended: 200 });
  await endedWorkload("wkl_next", { created: 100, ended: 100 });
  const deleteLogs = async (id: string) => {
    if (id === "wkl_stuck") throw new Error("the disk does not answer");
    await logs.store.delete(id);
  };

  const sweep = createSweep({ sql, keep, leads: () => true, deleteLogs, onSwept: () => undefined });

  await expect(sweep()).rejects.toThrow("logs that could not be deleted: 1");
  const left = await sql<{ id: string }[]>`select id from workload`;
  expect(left.map((row) => row.id)).toEqual(["wkl_stuck"]);
});

test("lines that a replica sealed after the sweep go, too", async () => {
  await sealedLog("wkl_swept");
  await sql`update log_segments set create_time = now() - interval '91 days'`;

  expect(await sweepOnce()).toEqual({ orphan_log: 1 });

  expect([hasBlobs("wkl_swept"), (await sql`select from ended_logs`).length]).toEqual([false, 0]);
});

test("more expired rows than one statement takes go in batches, and the newer ones stay", async () => {
  await sql`insert into idempotency_key (organization_id, method, key, request_hash, object_id, create_time)
    select 'org', 'm', 'key-' || n, '', '', now() - case when n > 2500 then interval '23 hours' else interval '25 hours' end
    from generate_series(1, 2501) n`;
  await sql`insert into audit_event (id, actor, action, outcome, time)
    select 'evt-' || n, '', '', 'ok', now() - (400.5 - n) * interval '1 day' from generate_series(0, 2) n`;

  expect(await sweepOnce()).toEqual({ idempotency_key: 2500, audit_event: 1 });
});

test("an access token goes a long time after its end, and never while it is good", async () => {
  await sql`insert into app_user (id, name) values ('usr', 'someone')`;
  await sql`insert into access_token (id, user_id, name, hash, scopes, expire_time, revoke_time) values
    ('tok_expired', 'usr', '', '1', '{}', now() - interval '401 days', null),
    ('tok_revoked', 'usr', '', '2', '{}', null, now() - interval '401 days'),
    ('tok_lately', 'usr', '', '3', '{}', now() - interval '399 days', null),
    ('tok_endless', 'usr', '', '4', '{}', null, null)`;

  expect(await sweepOnce()).toEqual({ access_token: 2 });

  expect((await sql`select id from access_token order by id`).map((row) => row["id"] as string)).toEqual([
    "tok_endless",
    "tok_lately",
  ]);
});

test("certificates that a later one replaced go once they can no longer be renewed, and the last one stays", async () => {
  await sql`insert into runner (id, name, token_public_key) values ('rnr', 'build-1', '')`;
  await sql`insert into identity (id, runner_id, state, spki_sha256, used_generation) values ('idn', 'rnr', 'current', 's', 2)`;
  await sql`insert into identity_generation (identity_id, generation, spki_sha256, serial, chain_pem, issue_time, expire_time)
    select 'idn', n, 's' || n, '', '', now(), now() - interval '15 days' from generate_series(1, 3) n`;
  await sql`insert into revocation (runner_id, reason, time) values ('rnr', '', now() - interval '2 days'), ('rnr', '', now())`;

  expect(await sweepOnce()).toEqual({ certificate: 1, revocation: 1 });
});

test("a replica that does not lead sweeps nothing", async () => {
  await endedWorkload("wkl_expired", { created: 92, ended: 91 });

  expect(await sweepOnce(false)).toEqual({});

  expect(await remaining()).toEqual(["wkl_expired"]);
});

test("ended runs go with their jobs, workloads and logs when their project's time, or the server's, is over", async () => {
  await sql`insert into organization (id, name) values ('org_runs', 'runs')`;
  await sql`
    insert into project (id, organization_id, name, retention_days)
    values ('prj_short', 'org_runs', 'short', 7), ('prj_long', 'org_runs', 'long', 365), ('prj_usual', 'org_runs', 'usual', 0)`;
  await endedRun("old-short", "prj_short", 8);
  await endedRun("old-long", "prj_long", 100);
  await endedRun("old-usual", "prj_usual", 91);
  await endedRun("young-usual", "prj_usual", 89);

  expect(await sweepOnce()).toMatchObject({ run: 2 });

  expect((await sql`select id from run order by id`).map((row) => row["id"] as string)).toEqual([
    "old-long",
    "young-usual",
  ]);
  expect((await sql`select id from job order by id`).map((row) => row["id"] as string)).toEqual([
    "old-long-job",
    "young-usual-job",
  ]);
  expect((await sql`select id from workload order by id`).map((row) => row["id"] as string)).toEqual([
    "old-long-wl",
    "young-usual-wl",
  ]);
  expect(["old-short-wl", "old-long-wl"].map(hasBlobs)).toEqual([false, true]);
});

/** A run of one job that ended so many days ago, as its workload did. */
async function endedRun(id: string, projectId: string, days: number): Promise<void> {
  await endedWorkload(`${id}-wl`, { created: days + 1, ended: days });
  await sql`update workload set run_id = ${id}, job_id = ${`${id}-job`} where id = ${`${id}-wl`}`;
  await sql`
    insert into run (id, organization_id, number, project_id, pipeline, name, content, definition, inputs, labels, ref, commit_id,
      bundle_digest, source_url, cause, state, end_time)
    select ${id}, 'org_runs', coalesce(max(number), 0) + 1, ${projectId}, '', '', '', '{}', '{}', '{}', '', '', '', '', '{}',
      'succeeded', now() - ${days} * interval '1 day' from run`;
  await sql`
    insert into job (id, organization_id, project_id, run_id, run_number, attempt, name, definition, state)
    values (${`${id}-job`}, 'org_runs', ${projectId}, ${id}, 1, 1, 'test', 'test', 'succeeded')`;
}
