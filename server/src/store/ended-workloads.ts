import type { SqlOrTransaction } from "./database.ts";

/** A workload among the oldest. `isOld`: it was created so long ago; `isExpired`: it also ended so long ago. */
export type OldWorkload = { key: bigint; id: string; isOld: boolean; isExpired: boolean };

/**
 * The workloads that were created first, after a key: they come in the order of their creation, so that the expired ones are found
 * without an index that ending would have to write. The runner's clock gave the time of the end: one before the creation, or ahead of the
 * database's, counts as the time of the creation. Those of a run are kept for as long as the run.
 */
export async function listOldest(
  sql: SqlOrTransaction,
  { after, keep_ms, limit }: { after: bigint; keep_ms: number; limit: number },
): Promise<OldWorkload[]> {
  return sql<OldWorkload[]>`
    select w.key, w.id, w.create_time < oldest as "isOld",
      coalesce(w.create_time < oldest and (e.end_time < oldest or e.end_time > now())
        and not exists (select from run where run.id = w.run_id), false) as "isExpired"
    from (select key, id, organization_id, create_time, run_id, now() - ${keep_ms}::float8 * interval '1 millisecond' as oldest
      from workload where key > ${after} order by key limit ${limit}) w
    left join lateral (
      select end_time from workload_end e where e.organization_id = w.organization_id and e.key = w.key offset 0) e on true
    order by w.key`;
}

/** Deletes the records of ended workloads; answers how many there were. */
export async function deleteEnded(sql: SqlOrTransaction, keys: readonly bigint[]): Promise<number> {
  const { count } = await sql`
    with gone as (
      delete from workload_end where (organization_id, key) in (
        select organization_id, key from workload where key = any(${keys.map(String)}::bigint[]))
      returning key
    )
    delete from workload where key in (select key from gone)`;
  return count;
}
