import { insertAuditEvents, type AuditEvent } from "./audit-events.ts";
import { unpack } from "./batch.ts";
import { planningOnce, type Sql, type SqlOrTransaction } from "./database.ts";
import { turnColumns, type Turn } from "./job-order.ts";
import { insertJobs, updateJobs, type JobChange, type NewJob } from "./jobs.ts";
import { runColumns, type DerivedRun, type RunRow, type WholeRun } from "./runs.ts";

/*
 * A run and its jobs are written together, in one statement: as it starts, and whenever it was taken on. What a start has to know of
 * the store to decide what becomes of its jobs is another one before it.
 */

/** What a run needs of its organization to begin. */
export type Reservation = {
  number: bigint;
  /** How many jobs may wait. */
  maximumQueued: number;
  /** Of its jobs. */
  keys: bigint[];
  /** Where its jobs would join the queue. */
  turn: Turn;
  now: Date;
};

/**
 * The number of an organization's next run and the keys of its jobs, which leave gaps where they are not used; `undefined` where the
 * organization is gone. A commit of its own, so that starts do not wait for each other; it is not waited for, since the commit of the
 * run that uses them makes both durable.
 */
export async function reserveStart(
  sql: Sql,
  { organizationId, projectId, jobs }: { organizationId: string; projectId: string; jobs: number },
): Promise<Reservation | undefined> {
  type Row = Omit<Reservation, "keys" | "turn"> & Turn & { keys: string };
  const [row] = await sql<Row[]>`
    with quick as materialized (select set_config('synchronous_commit', 'off', true))
    update organization set run_count = run_count + 1 from quick where id = ${organizationId}
    returning run_count as number, maximum_queued_jobs as "maximumQueued", now() as now,
      (select string_agg(nextval('job_key_seq')::text, ' ') from generate_series(1, ${jobs})) as keys,
      ${turnColumns(sql, organizationId, projectId)}`;
  if (!row) return undefined;
  const { number, maximumQueued, keys, last, weight, now } = row;
  return { number, maximumQueued, keys: unpack(keys).map(BigInt), turn: { last, weight }, now };
}

/** A run as it begins, with the text of its pipeline. */
export type NewRun = WholeRun & { content: Uint8Array };

/** What a run comes to, and what is told of it. */
type Written<Job> = { derived: DerivedRun; jobs: readonly Job[]; events: readonly AuditEvent[] };

/** Writes the start of a run, in one statement; a transaction that it is part of goes by ids from then on. Answers what the store adds. */
export async function insertStart(
  sql: SqlOrTransaction,
  { run, derived, jobs, events }: Written<NewJob> & { run: NewRun },
): Promise<Pick<WholeRun, "key" | "deadline" | "changeXid">> {
  const [row] = await sql<Pick<WholeRun, "key" | "deadline" | "changeXid">[]>`
    with begun as (
      insert into run (id, organization_id, number, project_id, project_name, pipeline, name, content, definition, inputs, labels,
        ref, commit_id, bundle_digest, source_url, cause, event, create_time, deadline, state, message, jobs, start_time, end_time,
        waiting_ms, running_ms)
      select ${run.id}, ${run.organizationId}, ${run.number}, ${run.projectId}, ${run.projectName}, ${run.pipeline}, ${run.name},
        ${run.content}, ${sql.json(run.definition)}, ${sql.json(run.inputs)}, ${sql.json(run.labels)}, ${run.ref},
        ${run.commit}, ${run.bundleDigest}, ${run.sourceUrl}, ${sql.json(run.cause)}, ${sql.json((run.event ?? null) as never)},
        ${run.createTime}::timestamptz, now() + ${run.definition.timeout_ms}::float8 * interval '1 millisecond',
        ${derived.state}, ${derived.message}, ${sql.json(derived.jobs)}, ${derived.startTime}::timestamptz,
        ${derived.endTime}::timestamptz, ${derived.waiting_ms}::bigint, ${derived.running_ms}::bigint
      from ${planningOnce(sql)}
      returning key, deadline, change_xid::text as "changeXid"
    ), told as (${insertAuditEvents(sql, events)}), begun_job as (${insertJobs(sql, jobs)})
    select * from begun`;
  return row!;
}

/**
 * Writes what became of the jobs of a held run that was taken on, and then of the run, in which order it is told: whatever was asked for
 * before is done.
 */
export async function saveAdvance(
  sql: SqlOrTransaction,
  { derived, jobs, events }: Written<JobChange>,
): Promise<RunRow> {
  const [row] = await sql<RunRow[]>`
    with told as (${insertAuditEvents(sql, events)}), changed as (${updateJobs(sql, jobs)} returning 1)
    update run set state = ${derived.state}, message = ${derived.message}, jobs = ${sql.json(derived.jobs)},
      start_time = ${derived.startTime}, end_time = ${derived.endTime}, waiting_ms = ${derived.waiting_ms},
      running_ms = ${derived.running_ms}, advance_requested = false, change_xid = pg_current_xact_id()
    from (select count(*) from changed) as jobs_first where id = ${derived.id} returning ${runColumns(sql)}`;
  return row!;
}
