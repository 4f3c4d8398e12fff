import type { InputValues, Pipeline } from "../../../pipelines/pipeline.ts";
import type { JobState, RunState } from "../domain/run-state.ts";
import { unpack } from "./batch.ts";
import { constant, planningOnce, type SqlOrTransaction } from "./database.ts";
import { cut, decodeCursor, type Page } from "./paging.ts";

/** Who or what started a run. */
export type Cause = {
  kind: "manual" | "token" | "schedule" | "webhook";
  userId: string;
  triggerId: string;
  deliveryId: string;
  event: string;
  /** What runs was written by a stranger, such as a fork's pull request: its jobs get no secrets. */
  untrusted?: boolean;
};

/** A run's record. What is derived from its jobs is written in the transaction that changes them. */
export type RunRow = {
  key: bigint;
  id: string;
  organizationId: string;
  number: bigint;
  /** Empty: of no project. */
  projectId: string;
  projectName: string;
  pipeline: string;
  name: string;
  inputs: InputValues;
  labels: Record<string, string>;
  ref: string;
  commit: string;
  bundleDigest: string;
  sourceUrl: string;
  cause: Cause;
  state: RunState;
  message: string;
  attempt: number;
  cancelRequested: boolean;
  /** Whether its concurrency group, if it has one, has let its jobs go. */
  admitted: boolean;
  /** Whether the attempt has its turn in the group, so that others may wait for it. */
  hasTurn: boolean;
  deadline: Date | null;
  jobs: Partial<Record<JobState, number>>;
  waiting_ms: bigint;
  running_ms: bigint;
  createTime: Date;
  startTime: Date | null;
  endTime: Date | null;
  changeXid: string;
};

/** With what only the deciding needs. */
export type WholeRun = RunRow & {
  definition: Pipeline;
  event: unknown;
  isPastDeadline: boolean;
  /** Somebody asked for it to be taken on, beside what its jobs say. */
  advanceRequested: boolean;
};

/** The columns as `RunRow` spells them. */
export const runColumns = constant(`
  key, id, organization_id as "organizationId", number, project_id as "projectId", project_name as "projectName", pipeline, name, inputs,
  labels, ref, commit_id as "commit", bundle_digest as "bundleDigest", source_url as "sourceUrl", cause, state, message, attempt,
  cancel_requested as "cancelRequested", admitted, concurrency_turn is not null as "hasTurn", deadline, jobs, waiting_ms as "waiting_ms", running_ms as "running_ms",
  create_time as "createTime", start_time as "startTime", end_time as "endTime", change_xid::text as "changeXid"`);

/** By id, whoever's it is: whether the caller may see it is to be asked of what comes back. `undefined` where there is none. */
export async function getRun(sql: SqlOrTransaction, id: string): Promise<RunRow | undefined> {
  const [row] = await sql<RunRow[]>`select ${runColumns(sql)} from run where id = ${id}`;
  return row;
}

/** Those of these ids. */
export async function listRunsById(sql: SqlOrTransaction, ids: readonly string[]): Promise<RunRow[]> {
  return sql<RunRow[]>`select ${runColumns(sql)} from run where id = any(${[...ids]})`;
}

/** The pipeline's text as it ran. */
export async function getRunContent(sql: SqlOrTransaction, id: string): Promise<Uint8Array | undefined> {
  const [row] = await sql<{ content: Uint8Array }[]>`select content from run where id = ${id}`;
  return row?.content;
}

/** The run, locked until the transaction ends, which goes by ids from here on: whoever changes its jobs' states holds it. */
export async function lockRun(sql: SqlOrTransaction, id: string): Promise<WholeRun | undefined> {
  const [row] = await sql<WholeRun[]>`
    select ${runColumns(sql)}, definition, event, coalesce(deadline < now(), false) as "isPastDeadline",
      advance_requested as "advanceRequested"
    from run, ${planningOnce(sql)} where id = ${id} for update of run`;
  return row;
}

/** What a reference may mean: exact id; else the number in the organization; else an id prefix. */
export async function findRuns(
  sql: SqlOrTransaction,
  reference: string,
  organizationId: string | undefined,
): Promise<RunRow[]> {
  const exact = await getRun(sql, reference);
  if (exact) return [exact];
  if (organizationId === undefined) return [];
  const number = /^#?([0-9]{1,15})$/.exec(reference)?.[1];
  if (number !== undefined) {
    return sql<RunRow[]>`
      select ${runColumns(sql)} from run where organization_id = ${organizationId} and number = ${number}`;
  }
  if (!reference.startsWith("run_")) return [];
  return sql<RunRow[]>`
    select ${runColumns(sql)} from run where organization_id = ${organizationId} and starts_with(id, ${reference}) limit 5`;
}

/** What a list of runs is narrowed to; empty fields narrow nothing. */
export type RunFilter = {
  organizationId: string;
  ids: readonly string[];
  projectId: string;
  states: readonly RunState[];
  labels: Record<string, string>;
  pipeline: string;
  ref: string;
  triggerId: string;
};

const matches = (sql: SqlOrTransaction, filter: RunFilter) => sql`
  organization_id = ${filter.organizationId}
  and (${filter.ids.length === 0} or id = any(${[...filter.ids]}))
  and (${filter.projectId} = '' or project_id = ${filter.projectId})
  and (${filter.states.length === 0} or state = any(${[...filter.states]}))
  and labels @> ${sql.json(filter.labels)}
  and (${filter.pipeline} = '' or pipeline = ${filter.pipeline})
  and (${filter.ref} = '' or ref = ${filter.ref})
  and (${filter.triggerId} = '' or cause ->> 'triggerId' = ${filter.triggerId})`;

/** Newest first. */
export async function listRuns(sql: SqlOrTransaction, filter: RunFilter, page: Page) {
  const before = decodeCursor(page.token, "run");
  const rows = await sql<RunRow[]>`
    select ${runColumns(sql)} from run
    where ${matches(sql, filter)} and (${before ?? null}::bigint is null or key < ${before ?? null}::bigint)
    order by key desc limit ${page.size + 1}`;
  return cut("run", rows, page, (row) => String(row.key));
}

/** The live ones that fit, oldest first. */
export async function listLiveRuns(sql: SqlOrTransaction, filter: RunFilter): Promise<RunRow[]> {
  return sql<RunRow[]>`
    select ${runColumns(sql)} from run where end_time is null and ${matches(sql, filter)} order by key`;
}

/** The live ones that a trigger started by an issue, oldest first, with what the trigger was sent. */
export async function listLiveRunsOfIssue(
  sql: SqlOrTransaction,
  triggerId: string,
  issueNumber: number,
): Promise<Pick<WholeRun, "id" | "number" | "event">[]> {
  return sql<Pick<WholeRun, "id" | "number" | "event">[]>`
    select id, number, event from run
    where end_time is null and cause ->> 'triggerId' = ${triggerId}
      and event -> 'issue' ->> 'number' = ${String(issueNumber)} order by key`;
}

/** Changed by `fromXid` or a later transaction, as far as visible. */
export async function listChangedRuns(sql: SqlOrTransaction, fromXid: string): Promise<RunRow[]> {
  return sql<RunRow[]>`select ${runColumns(sql)} from run where change_xid >= ${fromXid}::xid8 order by key`;
}

/**
 * Live runs that something is due of: their time is up, a job's is, or a workload of theirs has ended; and whether anything live is of a
 * group. Where nothing is, lists of what groups ask for are empty.
 */
export async function lookForDue(
  sql: SqlOrTransaction,
  limit: number,
): Promise<{ runs: string[]; hasGroups: boolean }> {
  const [row] = await sql<{ runs: string | null; hasGroups: boolean }[]>`
    with member as materialized (
      select from run where end_time is null and concurrency_turn is not null
    ), job_member as materialized (
      select from job where concurrency_group <> '' and state in ('queued', 'running')
    ), due as (
      select id from run where end_time is null and not cancel_requested and deadline < now()
      union
      select id from run where advance_requested and end_time is null
      union
      select run_id from job where state = 'queued' and queue_deadline < now()
      union
      select job.run_id from job join workload_end e on e.organization_id = job.organization_id and e.key = job.workload_key
      where job.state = 'running'
      limit ${limit}
    )
    select (select string_agg(id, ' ') from due) as runs,
      exists (select from member) or exists (select from job_member) as "hasGroups"`;
  return { runs: unpack(row!.runs), hasGroups: row!.hasGroups };
}

/** Live runs that are not said to have begun, though jobs of theirs run. */
export async function listBegunRuns(sql: SqlOrTransaction): Promise<string[]> {
  const rows = await sql<{ id: string }[]>`
    select distinct run.id from job join run on run.id = job.run_id where job.state = 'running' and run.state = 'queued'`;
  return rows.map((row) => row.id);
}

/** Of these runs those that live. */
export async function listLiveRunsAmong(sql: SqlOrTransaction, ids: readonly string[]): Promise<string[]> {
  const rows = await sql<{ id: string }[]>`select id from run where id = any(${[...ids]}) and end_time is null`;
  return rows.map((row) => row.id);
}

/** Something is due of live runs that none of their jobs says. */
export async function requestAdvances(sql: SqlOrTransaction, ids: readonly string[]): Promise<void> {
  await sql`update run set advance_requested = true where id = any(${[...ids]}) and end_time is null`;
}

/** Of a held run that was taken on, and of which nothing changed: what was asked is done. */
export async function clearAdvanceRequest(sql: SqlOrTransaction, id: string): Promise<void> {
  await sql`update run set advance_requested = false where id = ${id}`;
}

/** People asked for a run's end. */
export async function requestCancel(sql: SqlOrTransaction, id: string, message: string): Promise<void> {
  await sql`
    update run set cancel_requested = true, message = ${message}, change_xid = pg_current_xact_id() where id = ${id}`;
}

/** What a run's record takes over from its jobs, and from a new attempt. */
export type DerivedRun = Pick<RunRow, "id" | "state" | "message" | "jobs" | "startTime" | "endTime"> & {
  waiting_ms: number;
  running_ms: number;
};

/** Begins the next attempt of an ended run. */
export async function beginAttempt(sql: SqlOrTransaction, id: string, timeout_ms: number | null): Promise<WholeRun> {
  await sql`
    update run set attempt = attempt + 1, cancel_requested = false, message = '', admitted = false, concurrency_turn = null, state = 'queued', start_time = null,
      end_time = null, deadline = now() + ${timeout_ms}::float8 * interval '1 millisecond', change_xid = pg_current_xact_id()
    where id = ${id}`;
  return (await lockRun(sql, id))!;
}
