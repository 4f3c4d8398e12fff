import type { Sql, SqlOrTransaction } from "./database.ts";

/** What a leader holds. */
export type Leadership = {
  epoch: bigint;
  fleetVersion: bigint;
  /** How long ago the lease was renewed before, by whomever, in ms. */
  gap_ms: number;
};

/** Takes or renews the lease; `undefined` while another holds it. A fresh one (a new holder, or a holder that starts anew) raises the epoch, so that a former leader's writes fail (I10). */
export async function acquireLeadership(
  sql: Sql,
  holder: string,
  lease_ms: number,
  fresh: boolean,
): Promise<Leadership | undefined> {
  const [row] = await sql<Leadership[]>`
    with before as (select renew_time, holder from leader where name = 'orchestrator' for update)
    update leader l set holder = ${holder},
      epoch = case when l.holder = ${holder} and l.expire_time > now() and not ${fresh} then l.epoch else l.epoch + 1 end,
      renew_time = now(), expire_time = now() + ${lease_ms}::float8 * interval '1 millisecond'
    from before where l.name = 'orchestrator' and (l.holder = ${holder} or l.expire_time <= now())
    returning l.epoch, l.fleet_version as "fleetVersion",
      case when before.holder = '' then 0 else extract(epoch from now() - before.renew_time)::float8 * 1000 end as gap_ms`;
  return row;
}

/** Gives the lease back, so that another replica need not wait for it to run out. */
export async function releaseLeadership(sql: Sql, holder: string): Promise<void> {
  await sql`update leader set expire_time = now() where name = 'orchestrator' and holder = ${holder}`;
}

/**
 * Says that operators changed a runner in a way that placing must not miss: paused, locked, deleted, relabelled.
 * Placements that were decided before and are not committed yet fail and are decided anew. Belongs in the change's transaction.
 */
export async function raiseFleetVersion(sql: SqlOrTransaction): Promise<void> {
  await sql`update leader set fleet_version = fleet_version + 1 where name = 'orchestrator'`;
}
