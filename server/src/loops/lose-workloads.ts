import type { Sql } from "../store/database.ts";
import { expireRunnerLeases, regrantLeases } from "../store/runner-sessions.ts";
import { endWorkloads, lostEnding, type Ended, type Writer } from "../store/workload-transitions.ts";
import {
  getWorkload,
  listExpiredPending,
  listOverdue,
  markUnreachable,
  shiftUnreachable,
  type WorkloadRow,
} from "../store/workloads.ts";
import type { FleetState } from "./fleet-state.ts";
import type { Placer } from "./placer.ts";

export type LossDeps = {
  sql: Sql;
  writer: Writer;
  fleet: FleetState;
  placer: Placer;
  lease_ms: number;
  heartbeat_ms: number;
  /** How often leases are looked at; that much is no gap. */
  period_ms: number;
  onRunnersChanged: () => void;
  onWorkloadsChanged: () => void;
};

/** Of `lost_after`, the share by which the control plane waits longer, where that is more than two heartbeats. */
export const marginShare = 0.05;

/**
 * What a leader does about absent runners. It believes in no absence until it has itself been awake for a full lease: after a gap (a new
 * leader, a restart, a stall of more than a heartbeat beyond the period) every runner gets a fresh lease, and the gap does not count towards a loss.
 */
export function createLossLoops(deps: LossDeps) {
  const { sql, writer, fleet, placer } = deps;
  let lastRun_ms = performance.now();

  const forgive = async (gap_ms: number) => {
    await regrantLeases(sql, deps.lease_ms);
    if (gap_ms > deps.heartbeat_ms) await shiftUnreachable(sql, gap_ms);
  };

  return {
    /** A leadership began after nobody led for `gap_ms`. */
    async begin(gap_ms: number) {
      lastRun_ms = performance.now();
      await forgive(gap_ms);
    },
    async expireLeases() {
      const gap_ms = performance.now() - lastRun_ms;
      lastRun_ms = performance.now();
      if (!placer.leads) return;
      if (gap_ms > deps.period_ms + deps.heartbeat_ms) {
        await forgive(gap_ms);
        return;
      }
      const absent = await sql.begin(async (transaction) => {
        const ids = await expireRunnerLeases(transaction);
        const absence = { lease_ms: deps.lease_ms, writer: writer.replicaId };
        if (ids.length > 0) await markUnreachable(transaction, ids, absence);
        return ids;
      });
      if (absent.length === 0) return;
      await fleet.refresh();
      deps.onRunnersChanged();
      deps.onWorkloadsChanged();
    },
    async declareLost() {
      if (!placer.leads) return;
      const overdue = await listOverdue(sql, { least_ms: 2 * deps.heartbeat_ms, share: marginShare });
      if (overdue.length === 0) return;
      const message = "its runner was out of reach for too long";
      const endings = overdue.map((one) => lostEnding(one, message, true));
      await considerRetries({ sql, fleet, placer }, await endWorkloads(sql, writer, endings));
      deps.onWorkloadsChanged();
    },
    async expirePending() {
      if (!placer.leads) return;
      const expired = await listExpiredPending(sql);
      if (expired.length === 0) return;
      const endings = expired.map((row) => {
        const message = `no runner took it within ${describe(Number(row.pendingTimeout_ms))}${row.message === "" ? "" : `: ${row.message}`}`;
        return {
          id: row.id,
          fence: row.fence,
          runnerId: null,
          phase: "failed" as const,
          message,
          phaseIfStopped: "cancelled" as const,
          messageIfStopped: row.stopReason,
          result: null,
          mayRetry: false,
        };
      });
      const ended = await endWorkloads(sql, writer, endings);
      const gone = new Set(ended.map((one) => one.id));
      placer.consider(expired.filter((row) => gone.has(row.id)).map((row) => ({ ...row, phase: "failed" })));
      deps.onWorkloadsChanged();
    },
  };
}

/** Takes back what ended workloads used, and takes up their next tries. */
export async function considerRetries(
  deps: Pick<LossDeps, "sql" | "fleet" | "placer">,
  ended: readonly Ended[],
): Promise<void> {
  const retries: WorkloadRow[] = [];
  for (const one of ended) {
    deps.fleet.vacate(one.id);
    const retry = one.retriedBy === null ? undefined : await getWorkload(deps.sql, one.retriedBy);
    if (retry) retries.push(retry);
  }
  if (retries.length > 0) deps.placer.consider(retries);
}

function describe(time_ms: number): string {
  if (time_ms % 60_000 === 0) return `${time_ms / 60_000} min`;
  return `${time_ms / 1000} s`;
}
