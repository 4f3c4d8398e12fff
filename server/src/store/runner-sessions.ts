import type { SqlOrTransaction } from "./database.ts";
import type { RunnerReport } from "./runners.ts";

/*
 * The sessions and leases in the runners' records: a session begins with a fresh lease, renews it, and ends by leaving or by its lease
 * running out.
 */

/** Begins a session: the runner is enrolled, with a fresh lease. */
export async function beginSession(
  sql: SqlOrTransaction,
  id: string,
  session: { number: bigint; replicaId: string; lease_ms: number; report: RunnerReport },
): Promise<void> {
  await sql`
    update runner set status = 'enrolled', session_number = ${session.number}, session_replica_id = ${session.replicaId},
      lease_time = now() + ${session.lease_ms}::float8 * interval '1 millisecond', heartbeat_time = now(),
      reported = ${sql.json(session.report)}, change_xid = pg_current_xact_id()
    where id = ${id}`;
}

/** Notes that the runner has kept the number of its live session. */
export async function confirmSession(sql: SqlOrTransaction, id: string, number: bigint): Promise<void> {
  await sql`update runner set confirmed_session_number = ${number} where id = ${id} and session_number = ${number} and session_replica_id is not null and confirmed_session_number < ${number}`;
}

/** Ends a session, if it is still the live one: `offline` at once on a clean leave; on a lost link the lease decides. */
export async function endSession(
  sql: SqlOrTransaction,
  id: string,
  number: bigint,
  offline: boolean,
): Promise<boolean> {
  const rows = await sql`
    update runner set session_replica_id = null, status = case when ${offline} then 'offline' else status end,
      lease_time = case when ${offline} then now() else lease_time end, change_xid = pg_current_xact_id()
    where id = ${id} and session_number = ${number} and session_replica_id is not null returning 1`;
  return rows.length > 0;
}

/** Renews the leases of sessions; answers the runners whose session is still the live one. Rows are locked by id, as in `regrantLeases`. */
export async function renewLeases(
  sql: SqlOrTransaction,
  sessions: readonly { runnerId: string; number: bigint }[],
  lease_ms: number,
): Promise<string[]> {
  const rows = await sql<{ id: string }[]>`
    with live as (
      select r.id from runner r
      join unnest(${sessions.map((one) => one.runnerId)}::text[], ${sessions.map((one) => String(one.number))}::bigint[])
        as s (id, number) on r.id = s.id and r.session_number = s.number
      where r.session_replica_id is not null order by r.id for update of r
    )
    update runner r set lease_time = now() + ${lease_ms}::float8 * interval '1 millisecond', heartbeat_time = now()
    from live where r.id = live.id returning r.id`;
  return rows.map((row) => row.id);
}

/** Marks runners whose lease has run out as offline; answers their ids. One that is being renewed, or returns, is left for the next time. */
export async function expireRunnerLeases(sql: SqlOrTransaction): Promise<string[]> {
  const rows = await sql<{ id: string }[]>`
    update runner set status = 'offline', session_replica_id = null, change_xid = pg_current_xact_id()
    where id in (select id from runner where status = 'enrolled' and lease_time < now() for update skip locked) returning id`;
  return rows.map((row) => row.id);
}

/** Grants every enrolled runner a full lease: time in which nobody could renew does not count. */
export async function regrantLeases(sql: SqlOrTransaction, lease_ms: number): Promise<void> {
  await sql`
    with enrolled as (select id from runner where status = 'enrolled' order by id for update)
    update runner r set lease_time = greatest(r.lease_time, now() + ${lease_ms}::float8 * interval '1 millisecond')
    from enrolled where r.id = enrolled.id`;
}

/** After a start, no session of an earlier process of this replica is live. */
export async function clearSessionsOf(sql: SqlOrTransaction, replicaId: string): Promise<void> {
  await sql`update runner set session_replica_id = null, change_xid = pg_current_xact_id() where session_replica_id = ${replicaId}`;
}
