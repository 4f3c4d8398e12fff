import type { Sql } from "../../server/src/store/database.ts";

/** Puts a workload with a placement into the store, past everything that would place it. */
export async function insertRunning(
  sql: Sql,
  { id, runnerId, fence }: { id: string; runnerId: string; fence: bigint },
): Promise<void> {
  await sql`
    with record as (
      insert into workload (key, id, organization_id, spec, demand, pending_timeout_ms, created_by)
      values (${fence}, ${id}, 'org', '', '{}', 0, 'usr')
    )
    insert into workload_life (key, fence, id, organization_id, phase, runner_id)
    values (${fence}, ${fence}, ${id}, 'org', 'running', ${runnerId})`;
}
