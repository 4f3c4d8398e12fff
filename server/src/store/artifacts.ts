import { cut, decodeCursor, type Page } from "./paging.ts";
import type { SqlOrTransaction } from "./database.ts";
import { findRuns } from "./runs.ts";
import { dropUploads } from "./uploads.ts";

export type ArtifactState = "uploading" | "complete" | "failed";

/** An artifact's record, with what its job and run say of it. */
export type ArtifactRow = {
  key: bigint;
  id: string;
  organizationId: string;
  projectId: string;
  runId: string;
  runNumber: bigint;
  jobId: string;
  jobName: string;
  attempt: number;
  workloadId: string;
  fence: bigint;
  name: string;
  directory: boolean;
  state: ArtifactState;
  message: string;
  sha256: string | null;
  sizeBytes: bigint;
  createTime: Date;
  completeTime: Date | null;
  expireTime: Date;
};

const selected = (sql: SqlOrTransaction) => sql`
  select a.key, a.id, a.organization_id as "organizationId", a.project_id as "projectId", a.run_id as "runId",
    job.run_number as "runNumber", a.job_id as "jobId", job.name as "jobName", job.attempt, a.workload_id as "workloadId", a.fence,
    a.name, a.directory, a.state, a.message, a.sha256,
    case when a.state = 'uploading' then coalesce(upload.received_bytes, 0) else a.size_bytes end as "sizeBytes",
    a.create_time as "createTime", a.complete_time as "completeTime", a.expire_time as "expireTime"
  from artifact a join job on job.id = a.job_id left join upload on upload.id = a.id`;

export type NewArtifact = {
  id: string;
  organizationId: string;
  runId: string;
  jobId: string;
  workloadId: string;
  fence: bigint;
  name: string;
  nameKey: string;
  directory: boolean;
  /** null: what its project says, else the default. */
  retention_ms: number | null;
  defaultRetention_ms: number;
};

/**
 * Inserts what is not there yet of a workload's artifacts, uploading; answers the one of that name, or of one that is taken for it.
 * The run's row is held first: who advances the run holds it, too, and inserts the same artifacts.
 */
export async function insertArtifact(sql: SqlOrTransaction, made: NewArtifact): Promise<ArtifactRow> {
  await sql`
    insert into artifact (id, organization_id, project_id, run_id, job_id, workload_id, fence, name, name_key, directory, state,
      expire_time)
    select ${made.id}, ${made.organizationId}, run.project_id, run.id, ${made.jobId}, ${made.workloadId}, ${made.fence}, ${made.name},
      ${made.nameKey}, ${made.directory}, 'uploading',
      now() + coalesce(${made.retention_ms}::float8 * interval '1 millisecond', nullif(project.retention_days, 0) * interval '1 day',
        ${made.defaultRetention_ms}::float8 * interval '1 millisecond')
    from run left join project on project.id = run.project_id where run.id = ${made.runId} for key share of run
    on conflict (workload_id, fence, name_key) do nothing`;
  const [row] = await sql<ArtifactRow[]>`
    ${selected(sql)} where a.workload_id = ${made.workloadId} and a.fence = ${made.fence} and a.name_key = ${made.nameKey}`;
  if (!row) throw new Error(`run ${made.runId} of an artifact is gone`);
  return row;
}

/** What is known only once its runner has looked. */
export async function setArtifactKind(sql: SqlOrTransaction, id: string, directory: boolean): Promise<void> {
  await sql`update artifact set directory = ${directory}, update_time = now() where id = ${id} and state = 'uploading'`;
}

/** By id, whoever's it is: whether the caller may see it is to be asked of what comes back. `undefined` where there is none. */
export async function getArtifact(sql: SqlOrTransaction, id: string): Promise<ArtifactRow | undefined> {
  const [row] = await sql<ArtifactRow[]>`${selected(sql)} where a.id = ${id}`;
  return row;
}

/** The artifact of a workload under a fence (I2). */
export async function findWorkloadArtifact(
  sql: SqlOrTransaction,
  of: { workloadId: string; fence: bigint; name: string },
): Promise<ArtifactRow | undefined> {
  const [row] = await sql<ArtifactRow[]>`
    ${selected(sql)} where a.workload_id = ${of.workloadId} and a.fence = ${of.fence} and a.name = ${of.name}`;
  return row;
}

/** What a reference may mean: exact id; else `<run>/<name>` or `<run>/<job>/<name>` of the run's last attempt; else an id prefix. */
export async function findArtifacts(
  sql: SqlOrTransaction,
  reference: string,
  organizationId: string | undefined,
): Promise<ArtifactRow[]> {
  const exact = await getArtifact(sql, reference);
  if (exact) return [exact];
  const [runReference, ...rest] = reference.split("/");
  if (rest.length > 0) {
    const [run] = await findRuns(sql, runReference!, organizationId);
    if (!run) return [];
    const name = rest.at(-1)!;
    const job = rest.slice(0, -1).join("/");
    return sql<ArtifactRow[]>`
      ${selected(sql)} where a.run_id = ${run.id} and a.name = ${name} and (${job} = '' or job.name = ${job})
        and (job.attempt = ${run.attempt} or exists (${keptJobs(sql, run.id, run.attempt)}))
        and a.workload_id = job.workload_id order by a.key`;
  }
  if (organizationId === undefined || !reference.startsWith("art_")) return [];
  return sql<ArtifactRow[]>`
    ${selected(sql)} where a.organization_id = ${organizationId} and starts_with(a.id, ${reference}) limit 5`;
}

/** Jobs of a later attempt that kept what the workload of `a` did. */
const keptJobs = (sql: SqlOrTransaction, runId: string, attempt: number) => sql`
  select from job kept where kept.run_id = ${runId} and kept.attempt = ${attempt} and kept.reused and kept.workload_id = a.workload_id`;

/** What a list of artifacts is narrowed to; empty fields narrow nothing. */
export type ArtifactFilter = {
  organizationId: string;
  runId: string;
  jobId: string;
  projectId: string;
  /** Part of the name, in any case. */
  name: string;
  states: readonly ArtifactState[];
};

/** Newest first. */
export async function listArtifacts(sql: SqlOrTransaction, filter: ArtifactFilter, page: Page) {
  const before = decodeCursor(page.token, "artifact");
  const rows = await sql<ArtifactRow[]>`
    ${selected(sql)} where a.organization_id = ${filter.organizationId}
      and (${filter.runId} = '' or a.run_id = ${filter.runId})
      and (${filter.jobId} = '' or a.job_id = ${filter.jobId})
      and (${filter.projectId} = '' or a.project_id = ${filter.projectId})
      and (${filter.name} = '' or strpos(lower(a.name), lower(${filter.name})) > 0)
      and (${filter.states.length === 0} or a.state = any(${[...filter.states]}))
      and (${before ?? null}::bigint is null or a.key < ${before ?? null}::bigint)
    order by a.key desc limit ${page.size + 1}`;
  return cut("artifact", rows, page, (row) => String(row.key));
}

/** The complete ones of an attempt's last tries, those that it kept from earlier attempts with them; by job and name. */
export async function listAttemptArtifacts(
  sql: SqlOrTransaction,
  run: { id: string; attempt: number },
  limit: number,
): Promise<ArtifactRow[]> {
  return sql<ArtifactRow[]>`
    ${selected(sql)} join job now on now.run_id = a.run_id and now.attempt = ${run.attempt} and now.workload_id = a.workload_id
    where a.run_id = ${run.id} and a.state = 'complete' order by job.key, a.name limit ${limit}`;
}

/** Those of workloads, whatever their state. */
export async function listWorkloadArtifacts(
  sql: SqlOrTransaction,
  workloadIds: readonly string[],
): Promise<ArtifactRow[]> {
  return sql<ArtifactRow[]>`${selected(sql)} where a.workload_id = any(${[...workloadIds]}) order by a.key`;
}

/** Bytes that a run's artifacts have, and are about to have; none are added until the transaction ends, but by itself. */
export async function sumRunBytes(sql: SqlOrTransaction, runId: string): Promise<number> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${`artifacts of ${runId}`}, 0))`;
  const [row] = await sql<{ bytes: number }[]>`
    select coalesce(sum(greatest(a.size_bytes, upload.received_bytes)), 0)::float8 as bytes
    from artifact a left join upload on upload.id = a.id where a.run_id = ${runId}`;
  return row!.bytes;
}

/** Settles an artifact that is uploading, and has its run looked at; answers whether it was. */
export async function settleArtifact(
  sql: SqlOrTransaction,
  id: string,
  end: { state: "complete"; sha256: string; sizeBytes: number } | { state: "failed"; message: string },
): Promise<boolean> {
  const isComplete = end.state === "complete";
  const rows = await sql<{ runId: string }[]>`
    update artifact set state = ${end.state}, message = ${isComplete ? "" : end.message}, sha256 = ${isComplete ? end.sha256 : null},
      size_bytes = ${isComplete ? end.sizeBytes : 0}, complete_time = ${isComplete ? sql`now()` : null}, update_time = now()
    where id = ${id} and state = 'uploading' returning run_id as "runId"`;
  await dropUploads(sql, [id]);
  await sql`
    update run set advance_requested = true
    where id = any(${rows.map((row) => row.runId)}) and end_time is null`;
  return rows.length > 0;
}

/** Uploading ones to which nothing was added for so long. */
export async function listStaleArtifacts(sql: SqlOrTransaction, idle_ms: number, limit: number): Promise<string[]> {
  const rows = await sql<{ id: string }[]>`
    select id from artifact where state = 'uploading' and update_time < now() - ${idle_ms}::float8 * interval '1 millisecond'
    limit ${limit}`;
  return rows.map((row) => row.id);
}

/** Deletes artifacts with what has arrived of them. */
export async function deleteArtifacts(sql: SqlOrTransaction, ids: readonly string[]): Promise<void> {
  await dropUploads(sql, ids);
  await sql`
    with gone as (delete from artifact where id = any(${[...ids]}) returning run_id)
    update run set advance_requested = true from gone where run.id = gone.run_id and run.end_time is null`;
}

/** Ids of artifacts past their retention, in no order. */
export async function listExpiredArtifacts(sql: SqlOrTransaction, limit: number): Promise<string[]> {
  const rows = await sql<{ id: string }[]>`select id from artifact where expire_time < now() limit ${limit}`;
  return rows.map((row) => row.id);
}
