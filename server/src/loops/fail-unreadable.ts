import type { Logger } from "pino";
import type { Sql } from "../store/database.ts";
import { decreedEnding, endWorkloads, type Writer } from "../store/workload-transitions.ts";
import type { FleetState } from "./fleet-state.ts";

/** Ends a workload whose record cannot be read, so that it holds up no other and people see what became of it. */
export type FailUnreadable = (of: { id: string; fence: bigint }, cause: unknown) => void;

/** Calls for what is being ended already are let go. */
export function createFailUnreadable(deps: {
  sql: Sql;
  writer: Writer;
  fleet: FleetState;
  log: Logger;
  onWorkloadsChanged: () => void;
}): FailUnreadable {
  const { sql, writer, fleet, log } = deps;
  const ending = new Set<string>();
  return ({ id, fence }, cause) => {
    if (ending.has(id)) return;
    ending.add(id);
    const message = `its record cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`;
    log.error({ workload_id: id, err: cause }, "workload record unreadable");
    endWorkloads(sql, writer, [decreedEnding({ id, fence }, "failed", message)])
      .then(() => {
        fleet.vacate(id);
        deps.onWorkloadsChanged();
      })
      .catch((error: unknown) => log.error({ workload_id: id, err: error }, "unreadable workload not ended"))
      .finally(() => ending.delete(id));
  };
}
