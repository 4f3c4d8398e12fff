import type { DemandJson } from "../domain/workload.ts";
import { toArrayLiteral } from "./array-literal.ts";
import type { Sql } from "./database.ts";
import type { PlacingGuard, Writer } from "./workload-transitions.ts";

/** A job that is to be tried as a workload on a runner. */
export type JobPick = { jobId: string; workloadId: string; runnerId: string };

/** A job that was taken from the queue: its workload is in the store, placed. */
export type ClaimedJob = JobPick & {
  fence: bigint;
  organizationId: string;
  spec: Uint8Array;
  demand: DemandJson;
  lostAfter_ms: bigint | null;
  retryOnLost: boolean;
  try: number;
  maximumTries: number;
};

/** A claimed workload goes back to the placing of workloads where its runner rejects it; for so long at most. */
const pendingTimeout_ms = 86_400_000;

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
  return sql<ClaimedJob[]>`
    with guard as (
      select true as held from leader
      where name = 'orchestrator' and epoch = ${guard.epoch} and fleet_version = ${guard.fleetVersion}
        and expire_time > now() for share
    ), pick as (
      select * from unnest(
        ${toArrayLiteral(picks.map((one) => one.jobId))}::text[], ${toArrayLiteral(picks.map((one) => one.workloadId))}::text[],
        ${toArrayLiteral(picks.map((one) => one.runnerId))}::text[]) as p (job_id, new_workload_id, new_runner_id)
    ), held as (
      select job.id, job.organization_id, job.run_id, job.labels, job.spec, job.demand, job.lost_after_ms, job.retry_on_lost,
        job.maximum_tries, job.try, job.workload_ids, job.created_by, pick.new_workload_id, pick.new_runner_id
      from job join pick on job.id = pick.job_id
      where job.state = 'queued' and exists (select from guard)
      order by job.key for update of job skip locked
    ), made as (
      insert into workload (id, organization_id, labels, spec, demand, maximum_tries, retry_on_lost, lost_after_ms,
        pending_timeout_ms, created_by, runner_id, phase, fence, place_time, try, retry_of, run_id, job_id, writer)
      select new_workload_id, organization_id, labels, spec, demand, maximum_tries, retry_on_lost, lost_after_ms,
        ${pendingTimeout_ms}::bigint, created_by, new_runner_id, 'placed',
        (${writer.storeEpoch}::bigint << 40) + nextval('fence_counter'), now(), try, workload_ids ->> -1, run_id, id,
        ${writer.replicaId}
      from held returning id, job_id, fence
    ), claimed as (
      update job set state = 'running', workload_id = held.new_workload_id, runner_id = held.new_runner_id,
        workload_ids = held.workload_ids || to_jsonb(held.new_workload_id), start_time = coalesce(job.start_time, now()),
        message = '', verdict = '', change_xid = pg_current_xact_id()
      from held where job.id = held.id
    )
    select held.id as "jobId", held.new_workload_id as "workloadId", held.new_runner_id as "runnerId", made.fence,
      organization_id as "organizationId", spec, demand, lost_after_ms as "lostAfter_ms", retry_on_lost as "retryOnLost", try,
      maximum_tries as "maximumTries"
    from held join made on made.job_id = held.id`;
}
