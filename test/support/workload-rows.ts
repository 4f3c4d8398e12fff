import type { Sql } from "../../server/src/store/database.ts";
import type { NewWorkload } from "../../server/src/store/workload-starts.ts";
import { createId } from "../../wire/ids.ts";

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

/** A workload to be started on a runner, with whatever is its own. */
export function newWorkload(own: Partial<NewWorkload>): NewWorkload {
  return {
    id: createId("workload"),
    organizationId: "org",
    name: "",
    labels: {},
    spec: Buffer.of(1, 2, 3),
    demand: {
      organizationId: "org",
      requirements: [],
      capabilities: [],
      executor: "process",
      resources: { slots: 1 },
      preferences: [],
    },
    maximumTries: 1,
    retryOnLost: false,
    retryOnFailed: false,
    lostAfter_ms: 1_000,
    pendingTimeout_ms: 1_000,
    createdBy: "usr",
    runnerId: "rnr_some",
    verdict: "",
    message: "",
    ...own,
  };
}
