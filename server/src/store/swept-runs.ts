import type { SqlOrTransaction } from "./database.ts";

/** An ended run that has been kept for long enough, with the workloads of all its tries. */
export type ExpiredRun = { id: string; workloads: { id: string; key: bigint }[] };

/** The runs that ended first, as far as their project, or else the server, has them kept no longer; but none whose workload lives. */
export async function listExpiredRuns(
  sql: SqlOrTransaction,
  { keep_ms, limit }: { keep_ms: number; limit: number },
): Promise<ExpiredRun[]> {
  const runs = await sql<{ id: string }[]>`
    select run.id from run left join project on project.id = run.project_id
    where end_time < now() - coalesce(nullif(project.retention_days, 0) * interval '1 day',
        ${keep_ms}::float8 * interval '1 millisecond')
      and not exists (
        select from workload w cross join lateral (select from life_by_key where key = w.key offset 0) l where w.run_id = run.id)
    order by end_time limit ${limit}`;
  const ids = runs.map((run) => run.id);
  const workloads = await sql<{ id: string; key: bigint; runId: string }[]>`
    select id, key, run_id as "runId" from workload where run_id = any(${ids})`;
  const byRun = Map.groupBy(workloads, (one) => one.runId);
  return ids.map((id) => ({ id, workloads: byRun.get(id) ?? [] }));
}

/** Deletes the records of runs with those of their jobs; answers how many there were. */
export async function deleteRuns(sql: SqlOrTransaction, ids: readonly string[]): Promise<number> {
  return (await sql`delete from run where id = any(${[...ids]}) and end_time is not null`).count;
}
