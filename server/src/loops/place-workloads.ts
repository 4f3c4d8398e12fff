import { excludedAt } from "../domain/excluded.ts";
import { listWaitingIds, recordWaiting } from "../store/workloads.ts";
import { placeWorkloads } from "../store/workload-transitions.ts";
import type { Placer, PlacerDeps } from "./placer.ts";
import { createPlacingLease } from "./placing-lease.ts";
import { createPump } from "./pump.ts";
import { createStarts } from "./starts.ts";
import { createWaitingList } from "./waiting-list.ts";
import { changedWaits, isWaiting, lossFacts, sizeOf, type Waiting } from "./waiting.ts";

type Pick = Waiting & { runnerId: string; isHere: boolean };

/** Waiting workloads of one statement. */
const batchLimit = 500;
/** Beyond so many bytes of specs that are read with their placing, no more are placed by the same statement. */
const batch_bytes = 4 * 1024 * 1024;
/** Statements under way; what comes meanwhile is gathered, so a lone start goes at once and a burst in batches. */
const writeLimit = 4;
const explainedLimit = 200;

/** Nothing is placed until the lease is taken. */
export function createPlacer(deps: PlacerDeps): Placer {
  const { sql, fleet, writer, random, log } = deps;
  const waiting = createWaitingList(deps.pendingLimits, deps.failUnreadable);
  let dirty = false;
  let placesWaiting = false;
  const lease = createPlacingLease({ ...deps, waiting, onLead: () => wake() });
  const starts = createStarts({ ...deps, waiting, lease, onQueued: () => pump.signal(), onPending: () => wake() });

  const pump = createPump({
    limit: writeLimit,
    // While waiting ones are being placed and more has become free, what is new does not overtake them.
    hasWork: () => (dirty && lease.leads ? !placesWaiting : starts.hasQueued),
    work: async () => Promise.all([placePicks(pickWaiting()), starts.writeBatch()]),
    onError: (error) => log.error({ err: error }, "placing failed"),
  });

  const pickWaiting = () => {
    const picks: Pick[] = [];
    if (!dirty || !lease.leads || placesWaiting) return picks;
    dirty = false;
    let bytes = 0;
    for (const one of waiting.values()) {
      const pick = fleet.index.pick(one.demand, excludedAt(one.excluded, Date.now()), random);
      if (pick.kind === "none") continue;
      const { runnerId } = pick;
      const isHere = deps.isHere(runnerId);
      fleet.occupy(one.id, runnerId, one.demand.resources);
      picks.push({ ...one, runnerId, isHere });
      if (isHere) bytes += one.size_bytes;
      if (picks.length === batchLimit || bytes > batch_bytes) {
        dirty = true;
        break;
      }
    }
    return picks;
  };

  const placePicks = async (picks: readonly Pick[]) => {
    if (picks.length === 0) return;
    placesWaiting = true;
    try {
      await writePicks(picks);
    } finally {
      placesWaiting = false;
    }
  };

  const writePicks = async (picks: readonly Pick[]) => {
    const placed = await placeWorkloads(sql, writer, lease.guard!, picks).catch((error: unknown) => {
      lease.doubt(picks.map((one) => one.id));
      throw error;
    });
    const placements = new Map(placed.map((one) => [one.id, one]));
    for (const pick of picks) {
      const { id, runnerId, organizationId, demand } = pick;
      const placement = placements.get(id);
      if (!placement) {
        fleet.vacate(id);
        continue;
      }
      waiting.remove(id);
      deps.deliver({ ...placement, runnerId, organizationId, demand, ...lossFacts(pick) });
    }
    if (placed.length < picks.length) await relearn(picks.filter((one) => !placements.has(one.id)));
  };

  /** Placements were refused by the guard: the fleet changed, the lease went, or the workloads are no longer pending. */
  const relearn = async (refused: readonly Pick[]) => {
    await lease.renew();
    await fleet.refresh();
    const keys = refused.map((one) => one.key);
    const stillWaiting = new Set(await listWaitingIds(sql, keys));
    for (const { id } of refused) if (!stillWaiting.has(id)) waiting.remove(id);
    dirty = true;
  };

  const wake = () => {
    dirty = true;
    pump.signal();
  };

  return {
    get leads() {
      return lease.leads;
    },
    get guard() {
      return lease.leads ? lease.guard : undefined;
    },
    get waiting() {
      return waiting.size;
    },
    async start(request) {
      waiting.admit({ ...request.workload, size_bytes: sizeOf(request.workload) });
      const first = await starts.enqueue(request);
      if (first.kind !== "never") return first;
      await fleet.refresh();
      return starts.enqueue(request);
    },
    consider(rows) {
      for (const row of rows) waiting.take(row, lease.collects);
      if (lease.collects) wake();
      else deps.announcePending();
    },
    discount: (workloadId) => waiting.discount(workloadId),
    async recount() {
      const before = waiting.snapshot();
      const pending = await fleet.recount();
      waiting.settle(before, pending);
      // What is counted as placed is being placed, or was since the read.
      for (const row of pending)
        if (isWaiting(row) && !waiting.has(row.id) && !fleet.isCounted(row.id)) waiting.take(row, lease.collects);
      if (lease.collects) wake();
    },
    wake,
    renewLease: () => lease.renew(),
    settle: (workloadIds) => lease.settle(workloadIds),
    async explainWaiting() {
      const oldest = [...waiting.values()].slice(0, explainedLimit);
      const changed = changedWaits(oldest, fleet.index.members(), Date.now());
      if (changed.length === 0) return false;
      await recordWaiting(sql, changed, writer.replicaId);
      const messages = new Map(changed.map((one) => [one.id, one.message]));
      for (const one of oldest) one.message = messages.get(one.id) ?? one.message;
      return true;
    },
    async stop() {
      await pump.stop();
      await lease.release();
    },
  };
}
