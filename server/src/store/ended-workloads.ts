import type { SqlOrTransaction } from "./database.ts";

/** An ended workload among the oldest. `isOld`: it was created so long ago; `isExpired`: it ended so long ago, too. */
export type OldWorkload = { key: bigint; id: string; isOld: boolean; isExpired: boolean };

/**
 * The ended workloads that were created first, after a key: they come in the order of their creation, so that the expired ones are found
 * without an index that ending would have to write. The runner's clock gave the time of the end: one before the creation, or ahead of the
 * database's, counts as the time of the creation.
 */
export async function listOldestEnded(
  sql: SqlOrTransaction,
  { after, keep_ms, limit }: { after: bigint; keep_ms: number; limit: number },
): Promise<OldWorkload[]> {
  return sql<OldWorkload[]>`
    select key, id, create_time < oldest as "isOld",
      create_time < oldest and (end_time < oldest or end_time > now()) as "isExpired"
    from (select *, now() - ${keep_ms}::float8 * interval '1 millisecond' as oldest
      from workload_history where key > ${after} order by key limit ${limit}) h
    order by key`;
}

/** Deletes the records of ended workloads; answers how many there were. */
export async function deleteEnded(sql: SqlOrTransaction, keys: readonly bigint[]): Promise<number> {
  const { count } = await sql`delete from workload_history where key = any(${keys.map(String)}::bigint[])`;
  return count;
}
