import type { RunState } from "../domain/run-state.ts";
import type { ReportTarget } from "../triggers/report-calls.ts";
import type { SqlOrTransaction } from "./database.ts";

/** A run whose forge does not know its state yet. */
export type ReportRow = {
  runId: string;
  triggerId: string;
  target: ReportTarget;
  commentId: string;
  tries: number;
  sealedCredential: Uint8Array | null;
  runNumber: bigint;
  state: RunState;
};

export async function insertReport(
  sql: SqlOrTransaction,
  { runId, triggerId, target }: Pick<ReportRow, "runId" | "triggerId" | "target">,
): Promise<void> {
  await sql`
    insert into report (run_id, trigger_id, target) values (${runId}, ${triggerId}, ${sql.json(target)})
    on conflict do nothing`;
}

/** Claims reports that are due, at most one of each trigger; whoever claims one has `lease_ms` for it. */
export async function claimReports(
  sql: SqlOrTransaction,
  { limit, lease_ms }: { limit: number; lease_ms: number },
): Promise<ReportRow[]> {
  return sql<ReportRow[]>`
    with due as (
      select distinct on (r.trigger_id) r.run_id from report r join run on run.id = r.run_id
      where r.next_try_time <= now() and r.told <> run.state order by r.trigger_id, r.next_try_time
    ), held as (
      select run_id from report where run_id in (select run_id from due) and next_try_time <= now()
      limit ${limit} for update skip locked
    )
    update report r set tries = tries + 1, next_try_time = now() + ${lease_ms}::float8 * interval '1 millisecond'
    from held, run, trigger t where r.run_id = held.run_id and run.id = r.run_id and t.id = r.trigger_id
    returning r.run_id as "runId", r.trigger_id as "triggerId", r.target, r.comment_id as "commentId", r.tries,
      t.credential as "sealedCredential", run.number as "runNumber", run.state`;
}

/** The forge knows a state, and the comment has this id. */
export async function noteTold(
  sql: SqlOrTransaction,
  runId: string,
  { told, commentId }: { told: string; commentId: string },
): Promise<void> {
  await sql`
    update report set told = ${told}, comment_id = ${commentId}, tries = 0, next_try_time = now() where run_id = ${runId}`;
}

export async function postponeReport(sql: SqlOrTransaction, runId: string, wait_ms: number): Promise<void> {
  await sql`
    update report set next_try_time = now() + ${wait_ms}::float8 * interval '1 millisecond' where run_id = ${runId}`;
}

/** Nothing more is told of a run. */
export async function deleteReport(sql: SqlOrTransaction, runId: string): Promise<void> {
  await sql`delete from report where run_id = ${runId}`;
}
