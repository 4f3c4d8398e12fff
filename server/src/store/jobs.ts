import { limits } from "../../../pipelines/limits.ts";
import type { MatrixCell, SkipCause } from "../../../pipelines/pipeline.ts";
import type { JobState } from "../domain/run-state.ts";
import type { DemandJson } from "../domain/workload.ts";
import { unpack } from "./batch.ts";
import { constant, type SqlOrTransaction } from "./database.ts";
import { cut, decodeCursor, type Page } from "./paging.ts";
import { findRuns } from "./runs.ts";
import type { WorkloadRow } from "./workloads.ts";

/** A job's record. */
export type JobRow = {
  key: bigint;
  id: string;
  organizationId: string;
  /** Empty: of no project. */
  projectId: string;
  runId: string;
  runNumber: bigint;
  attempt: number;
  name: string;
  definition: string;
  matrix: MatrixCell;
  needs: string[];
  labels: Record<string, string>;
  state: JobState;
  message: string;
  skipCause: SkipCause | null;
  verdict: string;
  demand: DemandJson | null;
  priority: number;
  rank: string;
  tag: number;
  concurrencyGroup: string;
  concurrencyLimit: number;
  cancelsOlder: boolean;
  matrixLimit: number;
  try: number;
  maximumTries: number;
  retryOnLost: boolean;
  /** null: never. */
  lostAfter_ms: bigint | number | null;
  /** The user, or the trigger, behind it. */
  createdBy: string;
  workloadId: string | null;
  workloadKey: bigint | null;
  runnerId: string | null;
  workloadIds: string[];
  stopRequested: boolean;
  exitCode: number | null;
  outputs: Record<string, string>;
  reused: boolean;
  queueTime: Date | null;
  availableTime: Date | null;
  queueDeadline: Date | null;
  startTime: Date | null;
  endTime: Date | null;
  changeXid: string;
};

/** As its holder sees it: with what tells time-outs by the database's clock, and how the workload ended that it runs as, if it has. */
export type HeldJob = JobRow & { isPastDeadline: boolean; now: Date; ended: EndedWorkload | null };

/** How a workload of a job ended. */
export type EndedWorkload = Pick<
  WorkloadRow,
  "phase" | "message" | "result" | "runnerId" | "startTime" | "endTime" | "stopRequested"
>;

/** The columns as `JobRow` spells them. */
export const jobColumns = constant(`
  job.key, job.id, job.organization_id as "organizationId", job.project_id as "projectId", job.run_id as "runId",
  job.run_number as "runNumber", job.attempt, job.name, job.definition, job.matrix, job.needs, job.labels, job.state, job.message,
  job.skip_cause as "skipCause", job.verdict, job.demand, job.priority, job.rank, job.tag,
  job.concurrency_group as "concurrencyGroup", job.concurrency_limit as "concurrencyLimit", job.cancels_older as "cancelsOlder",
  job.matrix_limit as "matrixLimit", job.try, job.maximum_tries as "maximumTries",
  job.retry_on_lost as "retryOnLost", job.lost_after_ms as "lostAfter_ms", job.created_by as "createdBy", job.workload_id as "workloadId", job.workload_key as "workloadKey", job.runner_id as "runnerId",
  job.workload_ids as "workloadIds", job.stop_requested as "stopRequested", job.exit_code as "exitCode", job.outputs, job.reused,
  job.queue_time as "queueTime", job.available_time as "availableTime", job.queue_deadline as "queueDeadline",
  job.start_time as "startTime", job.end_time as "endTime", job.change_xid::text as "changeXid"`);

/**
 * The jobs of a held run's last attempt, in the pipeline's order; those that live locked until the transaction ends. The others do not
 * change: whoever ends a job holds its run. The order and the limit of an attempt, which none reaches, keep the planner to its index: it
 * may believe that most jobs are of one run, and walk all there are.
 */
export async function holdJobs(sql: SqlOrTransaction, runId: string): Promise<HeldJob[]> {
  type Row = Omit<HeldJob, "ended"> & { [Field in keyof EndedWorkload as `ended_${Field}`]: EndedWorkload[Field] };
  const rows = await sql<Row[]>`
    with attempt as materialized (
      select * from job where run_id = ${runId} and attempt = (select attempt from run where id = ${runId})
      order by name limit ${attemptLimit(sql)}
    ), live as (
      select job.* from job
      where key = any(array(select key from attempt where ${isLive(sql)})) and ${isLive(sql)} order by key for update
    )
    select ${jobColumns(sql)}, coalesce(queue_deadline < now(), false) as "isPastDeadline", now() as now, ${endedColumns(sql)}
    from (select * from live union all select * from attempt where not ${isLive(sql)}) as job left join lateral (
      select * from workload_state
      where job.state = 'running' and organization_id = job.organization_id and key = job.workload_key and end_time is not null
      offset 0) as e on true
    order by job.key`;
  return rows.map((row) => {
    const { ended_phase: phase, ended_message: message, ended_result: result, ended_runnerId: runnerId, ...job } = row;
    const { ended_startTime: startTime, ended_endTime: endTime, ended_stopRequested: stopRequested, ...held } = job;
    const ended = endTime && { phase, message, result, runnerId, startTime, endTime, stopRequested };
    return { ...held, ended };
  });
}

/** Far more than an attempt may have, in whatever version it was planned. */
const attemptLimit = constant(String(10 * limits.plannedJobs.value));

const endedColumns = constant(`
  e.phase as "ended_phase", e.message as "ended_message", e.result as "ended_result", e.runner_id as "ended_runnerId",
  e.start_time as "ended_startTime", e.end_time as "ended_endTime", e.stop_requested as "ended_stopRequested"`);
const isLive = constant("(state in ('blocked', 'queued', 'running'))");

/** By id, whoever's it is: whether the caller may see it is to be asked of what comes back. `undefined` where there is none. */
export async function getJob(sql: SqlOrTransaction, id: string): Promise<JobRow | undefined> {
  const [row] = await sql<JobRow[]>`select ${jobColumns(sql)} from job where id = ${id}`;
  return row;
}

/** Those of these ids. */
export async function listJobsById(sql: SqlOrTransaction, ids: readonly string[]): Promise<JobRow[]> {
  return sql<JobRow[]>`select ${jobColumns(sql)} from job where id = any(${[...ids]})`;
}

/** What a reference may mean: exact id; else `<run>/<job>` of the run's last attempt; else an id prefix. */
export async function findJobs(
  sql: SqlOrTransaction,
  reference: string,
  organizationId: string | undefined,
): Promise<JobRow[]> {
  const exact = await getJob(sql, reference);
  if (exact) return [exact];
  const slash = reference.indexOf("/");
  if (slash > 0) {
    const [run] = await findRuns(sql, reference.slice(0, slash), organizationId);
    if (!run) return [];
    return sql<JobRow[]>`
      select ${jobColumns(sql)} from job
      where run_id = ${run.id} and attempt = ${run.attempt} and name = ${reference.slice(slash + 1)}`;
  }
  if (organizationId === undefined || !reference.startsWith("job_")) return [];
  return sql<JobRow[]>`
    select ${jobColumns(sql)} from job where organization_id = ${organizationId} and starts_with(id, ${reference}) limit 5`;
}

/** The jobs of an attempt, in the pipeline's order. */
export async function listJobsOfAttempt(sql: SqlOrTransaction, runId: string, attempt: number): Promise<JobRow[]> {
  return sql<JobRow[]>`
    select ${jobColumns(sql)} from job where run_id = ${runId} and attempt = ${attempt} order by key`;
}

/** The same, by pages. */
export async function listJobs(sql: SqlOrTransaction, of: { runId: string; attempt: number }, page: Page) {
  const after = decodeCursor(page.token, "job");
  const found = await sql<JobRow[]>`
    select ${jobColumns(sql)} from job
    where run_id = ${of.runId} and attempt = ${of.attempt} and (${after ?? null}::bigint is null or key > ${after ?? null}::bigint)
    order by key limit ${page.size + 1}`;
  return cut("job", found, page, (row) => String(row.key));
}

/** Of the last attempts of live runs, oldest first. */
export async function listJobsOfRuns(sql: SqlOrTransaction, runIds: readonly string[]): Promise<JobRow[]> {
  return sql<JobRow[]>`
    select ${jobColumns(sql)} from job
    where run_id = any(${[...runIds]}) and attempt = (select attempt from run where run.id = job.run_id) order by key`;
}

/** The workloads of a run's jobs that run. */
export async function listLiveWorkloadsOfRun(sql: SqlOrTransaction, runId: string): Promise<string[]> {
  const rows = await sql<{ id: string }[]>`
    select workload_id as id from job where run_id = ${runId} and state = 'running' and workload_id is not null`;
  return rows.map((row) => row.id);
}

/** All that wait or run, oldest first. */
export async function listLiveJobs(sql: SqlOrTransaction): Promise<JobRow[]> {
  return sql<JobRow[]>`select ${jobColumns(sql)} from job where state in ('queued', 'running') order by key`;
}

/** Changed by `fromXid` or a later transaction, as far as visible. */
export async function listChangedJobs(sql: SqlOrTransaction, fromXid: string): Promise<JobRow[]> {
  return sql<JobRow[]>`select ${jobColumns(sql)} from job where change_xid >= ${fromXid}::xid8 order by key`;
}

/** What a held job becomes. Times are the database's or the runner's. */
export type JobChange = Pick<
  JobRow,
  | "id"
  | "state"
  | "message"
  | "skipCause"
  | "verdict"
  | "demand"
  | "rank"
  | "tag"
  | "concurrencyGroup"
  | "concurrencyLimit"
  | "cancelsOlder"
  | "try"
  | "maximumTries"
  | "retryOnLost"
  | "lostAfter_ms"
  | "workloadId"
  | "runnerId"
  | "stopRequested"
  | "exitCode"
  | "outputs"
  | "reused"
  | "queueTime"
  | "availableTime"
  | "queueDeadline"
  | "startTime"
  | "endTime"
> & {
  /** The contract's WorkloadSpec in base64, secret values sealed; `null` leaves what is there. */
  spec: string | null;
};

/** A job of an attempt that begins: what stays as it is, and what it is at first. */
export type NewJob = JobChange &
  Pick<
    JobRow,
    "key" | "organizationId" | "projectId" | "runId" | "runNumber" | "attempt" | "name" | "definition" | "matrix"
  > &
  Pick<JobRow, "needs" | "labels" | "priority" | "matrixLimit" | "createdBy">;

const changeColumns =
  constant(`"id" text, "state" text, "message" text, "skipCause" text, "verdict" text, "demand" json, "rank" text,
  "tag" float8, "concurrencyGroup" text, "concurrencyLimit" int, "cancelsOlder" boolean, "try" int, "maximumTries" int,
  "retryOnLost" boolean, "lostAfter_ms" bigint, "workloadId" text, "runnerId" text, "stopRequested" boolean, "exitCode" int,
  "outputs" jsonb, "reused" boolean, "queueTime" timestamptz, "availableTime" timestamptz, "queueDeadline" timestamptz,
  "startTime" timestamptz, "endTime" timestamptz, "spec" text`);

/** Of jobs that are to be inserted: in the order in which they were asked for, and by the database's clock. */
export async function reserveJobKeys(sql: SqlOrTransaction, count: number): Promise<{ keys: bigint[]; now: Date }> {
  const [row] = await sql<{ keys: string; now: Date }[]>`
    select string_agg(nextval('job_key_seq')::text, ' ') as keys, now() as now from generate_series(1, ${count})`;
  return { keys: unpack(row!.keys).map(BigInt), now: row!.now };
}

/** Inserts the jobs of an attempt: a statement to await, or a part of one. */
export function insertJobs(sql: SqlOrTransaction, jobs: readonly NewJob[]) {
  const rows = jobs.map((job) => ({ ...job, key: String(job.key), runNumber: String(job.runNumber) }));
  return sql`
    insert into job (key, id, organization_id, project_id, run_id, run_number, attempt, name, definition, matrix, needs, labels,
      priority, matrix_limit, created_by, state, message, skip_cause, verdict, demand, rank, tag, concurrency_group, concurrency_limit,
      cancels_older, try, maximum_tries, retry_on_lost, lost_after_ms, workload_id, runner_id, stop_requested, exit_code, outputs,
      reused, queue_time, available_time, queue_deadline, start_time, end_time, spec)
    overriding system value
    select key, id, "organizationId", "projectId", "runId", "runNumber", attempt, name, definition, matrix, needs, labels,
      priority, "matrixLimit", "createdBy", state, message, "skipCause", verdict, demand, rank, tag, "concurrencyGroup",
      "concurrencyLimit", "cancelsOlder", try, "maximumTries", "retryOnLost", "lostAfter_ms", "workloadId", "runnerId",
      "stopRequested", "exitCode", outputs, reused, "queueTime", "availableTime", "queueDeadline", "startTime", "endTime",
      decode(spec, 'base64')
    from jsonb_to_recordset(${sql.json(rows as never)}) as i ("key" bigint, "organizationId" text, "projectId" text, "runId" text,
      "runNumber" bigint, "attempt" int, "name" text, "definition" text, "matrix" jsonb, "needs" jsonb, "labels" jsonb,
      "priority" int, "matrixLimit" int, "createdBy" text, ${changeColumns(sql)})`;
}

/** Writes held jobs: a statement to await, or a part of one. */
export function updateJobs(sql: SqlOrTransaction, changes: readonly JobChange[]) {
  return sql`
    update job set state = i.state, message = i.message, skip_cause = i."skipCause", verdict = i.verdict, demand = i.demand,
      rank = i.rank, tag = i.tag, concurrency_group = i."concurrencyGroup", concurrency_limit = i."concurrencyLimit",
      cancels_older = i."cancelsOlder", try = i.try, maximum_tries = i."maximumTries", retry_on_lost = i."retryOnLost",
      lost_after_ms = i."lostAfter_ms", workload_id = i."workloadId", runner_id = i."runnerId",
      stop_requested = i."stopRequested", exit_code = i."exitCode", outputs = i.outputs, reused = i.reused,
      queue_time = i."queueTime", available_time = i."availableTime", queue_deadline = i."queueDeadline",
      start_time = i."startTime", end_time = i."endTime", spec = coalesce(decode(i.spec, 'base64'), job.spec),
      change_xid = pg_current_xact_id()
    from jsonb_to_recordset(${sql.json(changes as never)}) as i (${changeColumns(sql)})
    where job.id = i.id`;
}
