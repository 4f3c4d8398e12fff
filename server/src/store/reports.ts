import { hasRunEnded, type RunState } from "../domain/run-state.ts";
import type { ReportTarget } from "../triggers/report-calls.ts";
import type { SqlOrTransaction } from "./database.ts";

/** A run whose forge does not know its state yet. */
export type ReportRow = {
  runId: string;
  triggerId: string;
  organizationId: string;
  target: ReportTarget;
  commentId: string;
  tries: number;
  sealedCredential: Uint8Array | null;
  runNumber: bigint;
  state: RunState;
  attempt: number;
};

/** That a run is to be reported to where its trigger came from; one that is there stays as it is. */
export async function insertReport(
  sql: SqlOrTransaction,
  { runId, triggerId, target }: Pick<ReportRow, "runId" | "triggerId" | "target">,
): Promise<void> {
  await sql`
    insert into report (run_id, trigger_id, target) values (${runId}, ${triggerId}, ${sql.json(target)})
    on conflict do nothing`;
}

/** How many reports may be claimed: in all, and of one organization, with those that are `underWay` by organization already. */
export type ReportLimits = {
  limit: number;
  organizationLimit: number;
  underWay: Readonly<Record<string, number>>;
  lease_ms: number;
};

/** Claims reports that are due, at most one of each trigger; whoever claims one has `lease_ms` for it. */
export async function claimReports(
  sql: SqlOrTransaction,
  { limit, organizationLimit, underWay, lease_ms }: ReportLimits,
): Promise<ReportRow[]> {
  return sql<ReportRow[]>`
    with due as (
      select distinct on (r.trigger_id) r.run_id, r.next_try_time, run.organization_id
      from report r join run on run.id = r.run_id
      where r.next_try_time <= now() and (r.told, r.told_attempt) is distinct from (run.state, run.attempt)
      order by r.trigger_id, r.next_try_time
    ), placed as (
      select run_id, row_number() over (partition by organization_id order by next_try_time, run_id)
        + coalesce((${sql.json(underWay)}::jsonb ->> organization_id)::int, 0) as place
      from due
    ), held as (
      select run_id from report
      where run_id in (select run_id from placed where place <= ${organizationLimit}) and next_try_time <= now()
      limit ${limit} for update skip locked
    )
    update report r set tries = tries + 1, next_try_time = now() + ${lease_ms}::float8 * interval '1 millisecond'
    from held, run, trigger t where r.run_id = held.run_id and run.id = r.run_id and t.id = r.trigger_id
    returning r.run_id as "runId", r.trigger_id as "triggerId", run.organization_id as "organizationId", r.target, r.comment_id as "commentId", r.tries,
      t.credential as "sealedCredential", run.number as "runNumber", run.state, run.attempt`;
}

/** The forge knows a state, and the comment has this id. An attempt that began meanwhile is told of all the same. */
export async function noteTold(sql: SqlOrTransaction, row: ReportRow, commentId: string): Promise<void> {
  const { runId, tries, state, attempt } = row;
  // Whatever woke the report meanwhile has set its tries back.
  await sql`
    update report set comment_id = ${commentId}, told = ${state}, told_attempt = ${attempt}, tries = 0,
      next_try_time = case when tries = ${tries} and ${hasRunEnded(state)} then 'infinity' else now() end
    where run_id = ${runId}`;
}

/** The next try comes after so long, unless something wakes the report before. */
export async function postponeReport(sql: SqlOrTransaction, runId: string, wait_ms: number): Promise<void> {
  await sql`
    update report set next_try_time = now() + ${wait_ms}::float8 * interval '1 millisecond' where run_id = ${runId}`;
}

/** Another attempt of the run begins, of which the forge is to be told. */
export async function wakeReport(sql: SqlOrTransaction, runId: string): Promise<void> {
  await sql`update report set tries = 0, next_try_time = now() where run_id = ${runId}`;
}

/** Nothing more is told of a run, unless another attempt of it begins. */
export async function giveUpReport(sql: SqlOrTransaction, { runId, tries }: ReportRow): Promise<void> {
  await sql`update report set next_try_time = 'infinity' where run_id = ${runId} and tries = ${tries}`;
}
