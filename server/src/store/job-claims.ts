import type { DemandJson } from "../domain/workload.ts";
import { column } from "./batch.ts";
import type { Sql } from "./database.ts";
import { guarded, nextFence, type PlacingGuard, type Writer } from "./workload-transitions.ts";

/** A job that is to be tried as a workload on a runner; `isHere`: one that is connected to this replica. */
export type JobPick = { jobId: string; workloadId: string; runnerId: string; isHere: boolean };

/** A job that was taken from the queue: its workload is in the store, placed. */
export type ClaimedJob = Omit<JobPick, "isHere"> & {
  fence: bigint;
  organizationId: string;
  /** null: not read, since the runner is not connected here, or what was read before it is much already. */
  spec: Uint8Array | null;
  demand: DemandJson;
  lostAfter_ms: bigint | null;
  retryOnLost: boolean;
  try: number;
  maximumTries: number;
};

/** A claimed workload goes back to the placing of workloads where its runner rejects it; for so long at most. */
const pendingTimeout_ms = 86_400_000;
/** Of the specs that one claim answers. */
const answer_bytes = 4 * 1024 * 1024;

/**
 * Takes jobs from the queue: each that still waits is `running`, with a workload of its own that is placed, in one
 * statement (I1, I10). Answers those that were; one that somebody is changing right now is left for the next time.
 */
export async function claimJobs(
  sql: Sql,
  writer: Writer,
  guard: PlacingGuard,
  picks: readonly JobPick[],
): Promise<ClaimedJob[]> {
  // Each array is a select: where the planner sees how long one is, it plans anew for every batch, which takes longer than a claim.
  return sql<ClaimedJob[]>`
    with ${guarded(sql, guard)}, pick as (
      select * from unnest(
        (select ${column(picks, (one) => one.jobId)}::text[]), (select ${column(picks, (one) => one.workloadId)}::text[]),
        (select ${column(picks, (one) => one.runnerId)}::text[]), (select ${column(picks, (one) => one.isHere)}::boolean[])
      ) as p (job_id, new_workload_id, new_runner_id, is_here)
    ), held as (
      select job.*, pick.new_workload_id, pick.new_runner_id, pick.is_here from job join pick on job.id = pick.job_id
      where job.state = 'queued' and exists (select from guard)
      order by job.key for update of job skip locked
    ), placed as (
      select *, ${nextFence(sql, writer)} as new_key,
        sum(octet_length(spec)) filter (where is_here) over (order by key) as specs_bytes from held
    ), record as (
      insert into workload (key, id, organization_id, labels, spec, demand, maximum_tries, retry_on_lost, lost_after_ms,
        pending_timeout_ms, created_by, try, retry_of, run_id, job_id)
      select new_key, new_workload_id, organization_id, labels, spec, demand, maximum_tries, retry_on_lost, lost_after_ms,
        ${pendingTimeout_ms}::bigint, created_by, try, workload_ids ->> -1, run_id, id from placed
    ), life as (
      insert into workload_life (key, id, organization_id, phase, fence, runner_id, place_time, writer)
      select new_key, new_workload_id, organization_id, 'placed', new_key, new_runner_id, now(), ${writer.replicaId} from placed
    )
    update job set state = 'running', workload_id = placed.new_workload_id, workload_key = placed.new_key,
      runner_id = placed.new_runner_id, workload_ids = placed.workload_ids || to_jsonb(placed.new_workload_id),
      start_time = coalesce(job.start_time, now()), message = '', verdict = '', change_xid = pg_current_xact_id()
    from placed where job.id = placed.id
    returning job.id as "jobId", placed.new_workload_id as "workloadId", placed.new_runner_id as "runnerId",
      placed.new_key as fence, placed.organization_id as "organizationId",
      case when placed.is_here and placed.specs_bytes <= ${answer_bytes}::bigint then placed.spec end as spec, placed.demand,
      placed.lost_after_ms as "lostAfter_ms", placed.retry_on_lost as "retryOnLost", placed.try,
      placed.maximum_tries as "maximumTries"`;
}
