import type { SqlOrTransaction } from "./database.ts";

/** Why a queued job waits: what the fleet says of it, and what stands in its way in one line. */
export type JobWait = { id: string; verdict: string; message: string };

/** Writes why jobs wait, as far as they still do and it is news; one that somebody is changing right now is left for the next time. */
export async function recordJobWaits(sql: SqlOrTransaction, waits: readonly JobWait[]): Promise<number> {
  const { count } = await sql`
    with held as (
      select job.key, i.verdict, i.message
      from unnest(${waits.map((one) => one.id)}::text[], ${waits.map((one) => one.verdict)}::text[],
        ${waits.map((one) => one.message)}::text[]) as i (id, verdict, message) join job on job.id = i.id
      where job.state = 'queued' and (job.verdict, job.message) is distinct from (i.verdict, i.message)
      order by job.key for update of job skip locked
    )
    update job set verdict = held.verdict, message = held.message, change_xid = pg_current_xact_id()
    from held where job.key = held.key`;
  return count;
}
