import type { Logger } from "pino";
import type { Sql } from "../store/database.ts";
import { acquireLeadership, releaseLeadership } from "../store/leader.ts";
import type { PlacingGuard, Writer } from "../store/workload-transitions.ts";
import type { WorkloadHead } from "../store/workloads.ts";
import type { FleetState } from "./fleet-state.ts";
import type { WaitingList } from "./waiting-list.ts";
import { isWaiting } from "./waiting.ts";

/** The right to place, which one replica has at a time (I10), and what must be known before it is used. */
export interface PlacingLease {
  /** Whether this replica may place now. */
  readonly leads: boolean;
  /** By which right it writes; it may be late to be renewed, or in doubt. */
  readonly guard: PlacingGuard | undefined;
  /** What becomes pending while a leadership begins, or is late to be renewed, may be in no reading of this leader's. */
  readonly collects: boolean;
  /** Renews or takes the lease; asked again meanwhile, it is the same renewal. */
  renew(): Promise<void>;
  /** A write of these failed, so that nobody knows whether it took effect: until that is settled, nothing is placed. */
  doubt(workloadIds: readonly string[]): void;
  /** As `doubt`, and waits until it is settled. */
  settle(workloadIds: readonly string[]): Promise<void>;
  /** Gives the lease back. */
  release(): Promise<void>;
}

/** What a lease reads into and goes by. */
export type PlacingLeaseDeps = {
  sql: Sql;
  fleet: FleetState;
  waiting: WaitingList;
  writer: Writer;
  log: Logger;
  leaderLease_ms: number;
  /** A leadership begins after nobody led for `gap_ms`; it leads only once this is done. */
  onBegin: (gap_ms: number) => Promise<void>;
  /** A leadership has begun. */
  onLead: () => void;
};

/** Nobody leads here until the first `renew`. */
export function createPlacingLease(deps: PlacingLeaseDeps): PlacingLease {
  const { sql, fleet, waiting, writer, log } = deps;
  let guard: PlacingGuard | undefined;
  let leadsUntil_ms = 0;
  let renewing: Promise<void> | undefined;
  let beginning = false;
  /** Time in which nobody led, and that no leadership has been told of yet. */
  let untoldGap_ms = 0;
  /**
   * Workloads of writes that failed. What was counted for them stays counted until the epoch was raised, under which such a write no
   * longer can take effect, and the live workloads were read.
   */
  const doubtful = new Set<string>();

  const renewOnce = () => (renewing ??= renew().finally(() => (renewing = undefined)));

  const renew = async () => {
    const before_ms = performance.now();
    const led = guard;
    const doubted = [...doubtful];
    const fresh = led === undefined || doubted.length > 0;
    const leadership = await acquireLeadership(sql, writer.replicaId, deps.leaderLease_ms, fresh);
    if (!leadership) return lose(doubted);
    leadsUntil_ms = before_ms + deps.leaderLease_ms;
    const { epoch, fleetVersion } = leadership;
    const began = led?.epoch !== epoch;
    if (began) await begin(leadership.gap_ms, doubted);
    else if (led.fleetVersion !== fleetVersion) await fleet.refresh();
    guard = { epoch, fleetVersion };
    beginning = false;
    if (!began) return;
    log.info({ epoch: String(epoch), waiting: waiting.size }, "this replica places");
    deps.onLead();
  };

  const begin = async (gap_ms: number, doubted: readonly string[]) => {
    guard = undefined;
    beginning = true;
    untoldGap_ms += gap_ms;
    await deps.onBegin(untoldGap_ms);
    untoldGap_ms = 0;
    await fleet.refresh();
    const live = await fleet.countLive();
    for (const row of live) if (isWaiting(row)) waiting.take(row, true);
    resolve(doubted, live);
  };

  /** Another replica leads. */
  const lose = async (doubted: readonly string[]) => {
    guard = undefined;
    beginning = false;
    waiting.letGo();
    if (doubted.length > 0) resolve(doubted, await fleet.countLive());
  };

  const resolve = (doubted: readonly string[], live: readonly WorkloadHead[]) => {
    const rows = new Map(live.map((row) => [row.id, row]));
    for (const id of doubted) {
      const row = rows.get(id);
      if (row === undefined || row.phase === "pending") fleet.vacate(id);
      if (row === undefined || !isWaiting(row)) waiting.remove(id);
      doubtful.delete(id);
    }
  };

  const settle = async (workloadIds: readonly string[]) => {
    for (const id of workloadIds) doubtful.add(id);
    // A renewal that is under way began before the doubt, and does not settle it.
    await renewing?.catch(() => undefined);
    await renewOnce();
  };

  return {
    get leads() {
      return guard !== undefined && doubtful.size === 0 && performance.now() < leadsUntil_ms;
    },
    get guard() {
      return guard;
    },
    get collects() {
      return guard !== undefined || beginning;
    },
    renew: renewOnce,
    doubt(workloadIds) {
      settle(workloadIds).catch((error: unknown) => log.error({ err: error }, "lease not renewed"));
    },
    settle,
    async release() {
      if (guard) await releaseLeadership(sql, writer.replicaId);
      guard = undefined;
    },
  };
}
