import type { SqlOrTransaction } from "./database.ts";

/** A log whose lines another replica may hold. */
export type SealRequest = { id: bigint; workloadId: string; fence: bigint; ofReplicaId: string };

/** Where the runner of a workload is connected, if it is. */
export async function findSessionReplica(sql: SqlOrTransaction, workloadId: string): Promise<string | undefined> {
  const [row] = await sql<{ id: string | null }[]>`
    select r.session_replica_id as id from workload_state s join runner r on r.id = s.runner_id
    where (s.organization_id, s.key) = (select organization_id, key from workload where id = ${workloadId})`;
  return row?.id ?? undefined;
}

/** Asks; answers the request's id. */
export async function insertSealRequest(
  sql: SqlOrTransaction,
  request: Omit<SealRequest, "id"> & { byReplicaId: string },
): Promise<bigint> {
  const [row] = await sql<{ id: bigint }[]>`
    insert into seal_request (workload_id, fence, by_replica_id, of_replica_id)
    values (${request.workloadId}, ${request.fence}, ${request.byReplicaId}, ${request.ofReplicaId}) returning id`;
  return row!.id;
}

/** Requests of other replicas that nobody has answered, as long as somebody may wait for them. */
export async function listSealRequests(sql: SqlOrTransaction, replicaId: string): Promise<SealRequest[]> {
  return sql<SealRequest[]>`
    select id, workload_id as "workloadId", fence, of_replica_id as "ofReplicaId" from seal_request
    where by_replica_id <> ${replicaId} and not is_answered and create_time > now() - interval '10 seconds'
    order by id limit 1000`;
}

/** Lets the replica that asked go on. */
export async function answerSealRequest(sql: SqlOrTransaction, id: bigint): Promise<void> {
  await sql`update seal_request set is_answered = true where id = ${id}`;
}

/** `false` also for one that is gone. */
export async function isSealRequestAnswered(sql: SqlOrTransaction, id: bigint): Promise<boolean> {
  const rows = await sql`select from seal_request where id = ${id} and is_answered`;
  return rows.length > 0;
}

/** Withdraws a request, and with it those that nobody withdrew. */
export async function deleteSealRequest(sql: SqlOrTransaction, id: bigint): Promise<void> {
  await sql`delete from seal_request where id = ${id} or create_time < now() - interval '1 minute'`;
}
