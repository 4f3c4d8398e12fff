import { excludedAt, nobody } from "../domain/excluded.ts";
import { acquireLeadership, releaseLeadership } from "../store/leader.ts";
import { listWaitingIds, recordWaiting, type WorkloadHead } from "../store/workloads.ts";
import { startWorkloads, type NewWorkload, type StartedWorkload } from "../store/workload-starts.ts";
import { placeWorkloads, type PlacingGuard } from "../store/workload-transitions.ts";
import type { Placer, PlacerDeps, StartOutcome, StartRequest } from "./placer.ts";
import { createPump } from "./pump.ts";
import { takeStarts } from "./start-batch.ts";
import { createWaitingList } from "./waiting-list.ts";
import { changedWaits, isWaiting, lossFacts, sizeOf, toStartedRow, type Waiting } from "./waiting.ts";

type Pick = Waiting & { runnerId: string; isHere: boolean };
type Starting = { request: StartRequest; settle: (outcome: StartOutcome) => void; fail: (error: unknown) => void };

/** Waiting workloads of one statement. */
const batchLimit = 500;
/** Beyond so many bytes of specs that are read with their placing, no more are placed by the same statement. */
const batch_bytes = 4 * 1024 * 1024;
/** Statements under way; what comes meanwhile is gathered, so a lone start goes at once and a burst in batches. */
const writeLimit = 4;
const explainedLimit = 200;

/** Nothing runs until the lease is taken. */
export function createPlacer(deps: PlacerDeps): Placer {
  const { sql, fleet, writer, random, log } = deps;
  const waiting = createWaitingList(deps.pendingLimits, deps.failUnreadable);
  const starting: Starting[] = [];
  let guard: PlacingGuard | undefined;
  let leadsUntil_ms = 0;
  let renewing: Promise<void> | undefined;
  let beginning = false;
  /** Time in which nobody led, and that no leadership has been told of yet. */
  let untoldGap_ms = 0;
  /**
   * Workloads of writes that failed, so that nobody knows whether they took effect. What was counted for them stays counted, and nothing
   * is placed, until the epoch was raised, under which they no longer can, and the live workloads were read.
   */
  const doubtful = new Set<string>();
  let dirty = false;
  let placesWaiting = false;
  const leads = () => guard !== undefined && doubtful.size === 0 && performance.now() < leadsUntil_ms;
  /** What becomes pending while a leadership begins, or is late to be renewed, may be in no reading of this leader's. */
  const collects = () => guard !== undefined || beginning;

  const pump = createPump({
    limit: writeLimit,
    // While waiting ones are being placed and more has become free, what is new does not overtake them.
    hasWork: () => (dirty && leads() ? !placesWaiting : starting.length > 0),
    work: async () => Promise.all([placePicks(pickWaiting()), startBatch(takeStarts(starting))]),
    onError: (error) => log.error({ err: error }, "placing failed"),
  });

  const pickWaiting = () => {
    const picks: Pick[] = [];
    if (!dirty || !leads() || placesWaiting) return picks;
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
    const placed = await placeWorkloads(sql, writer, guard!, picks).catch((error: unknown) => {
      doubt(picks.map((one) => one.id));
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

  const startBatch = async (batch: Starting[]) => {
    if (batch.length === 0) return;
    const placing = leads();
    const decided = batch.map((one) => {
      const { workload, demand } = one.request;
      const pick = fleet.index.pick(demand, nobody, random);
      // Counted before the next one is picked, so that no two of a batch get the same last slot.
      if (placing && pick.kind === "picked") fleet.occupy(workload.id, pick.runnerId, demand.resources);
      return { ...one, pick };
    });
    const going = decided.filter((one) => one.pick.kind === "picked" || one.pick.verdict !== "never");
    for (const one of decided) {
      if (going.includes(one)) continue;
      waiting.discount(one.request.workload.id);
      one.settle({ kind: "never" });
    }
    if (going.length === 0) return;
    const rows = going.map(({ request, pick }): NewWorkload => {
      const picked = placing && pick.kind === "picked" ? pick.runnerId : null;
      return { ...request.workload, runnerId: picked, verdict: pick.kind === "none" ? pick.verdict : "", message: "" };
    });
    let started: StartedWorkload[];
    try {
      started = await startWorkloads(sql, writer, guard ?? { epoch: -1n, fleetVersion: -1n }, rows);
    } catch (error) {
      if (placing || collects()) doubt(rows.map((row) => row.id));
      for (const one of going) one.fail(error);
      return;
    } finally {
      // What is pending is counted anew as its record is.
      for (const row of rows) waiting.discount(row.id);
    }
    finishStart(going, rows, started);
  };

  const finishStart = (going: Starting[], rows: NewWorkload[], started: StartedWorkload[]) => {
    const byId = new Map(started.map((one) => [one.id, one]));
    let pending = false;
    for (const [position, one] of going.entries()) {
      const row = rows[position]!;
      const result = byId.get(row.id);
      if (result?.phase !== "placed") fleet.vacate(row.id);
      if (!result) {
        one.settle({ kind: "exists" });
        continue;
      }
      const record = toStartedRow(row, result);
      if (result.phase === "placed") {
        const { id, organizationId, spec, fence } = record;
        const { demand } = one.request;
        deps.deliver({ id, fence, runnerId: row.runnerId!, organizationId, spec, demand, ...lossFacts(row) });
      } else {
        pending = true;
        waiting.take(record, collects());
      }
      one.settle({ kind: "started", row: record });
    }
    if (pending) wake();
    if (pending && !collects()) deps.announcePending();
  };

  /** Placements were refused by the guard: the fleet changed, the lease went, or the workloads are no longer pending. */
  const relearn = async (refused: readonly Pick[]) => {
    await renewLease();
    await fleet.refresh();
    const keys = refused.map((one) => one.key);
    const stillWaiting = new Set(await listWaitingIds(sql, keys));
    for (const { id } of refused) if (!stillWaiting.has(id)) waiting.remove(id);
    dirty = true;
  };

  const doubt = (ids: readonly string[]) => {
    for (const id of ids) doubtful.add(id);
    settleSoon().catch((error: unknown) => log.error({ err: error }, "lease not renewed"));
  };

  const settleSoon = async () => {
    // A renewal that is under way began before the doubt, and does not settle it.
    await renewing?.catch(() => undefined);
    await renewLease();
  };

  const renewLease = () => (renewing ??= renew().finally(() => (renewing = undefined)));

  const renew = async () => {
    const before_ms = performance.now();
    const led = guard;
    const doubted = [...doubtful];
    const fresh = led === undefined || doubted.length > 0;
    const leadership = await acquireLeadership(sql, writer.replicaId, deps.leaderLease_ms, fresh);
    if (!leadership) {
      guard = undefined;
      beginning = false;
      waiting.letGo();
      if (doubted.length > 0) settleDoubts(doubted, await fleet.countLive());
      return;
    }
    leadsUntil_ms = before_ms + deps.leaderLease_ms;
    const { epoch, fleetVersion } = leadership;
    const began = led?.epoch !== epoch;
    if (began) await begin(leadership.gap_ms, doubted);
    else if (led.fleetVersion !== fleetVersion) await fleet.refresh();
    guard = { epoch, fleetVersion };
    beginning = false;
    if (!began) return;
    log.info({ epoch: String(epoch), waiting: waiting.size }, "this replica places");
    wake();
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
    settleDoubts(doubted, live);
  };

  const settleDoubts = (doubted: readonly string[], live: readonly WorkloadHead[]) => {
    const rows = new Map(live.map((row) => [row.id, row]));
    for (const id of doubted) {
      const row = rows.get(id);
      if (row === undefined || row.phase === "pending") fleet.vacate(id);
      if (row === undefined || !isWaiting(row)) waiting.remove(id);
      doubtful.delete(id);
    }
  };

  const wake = () => {
    dirty = true;
    pump.signal();
  };

  return {
    get leads() {
      return leads();
    },
    get guard() {
      return leads() ? guard : undefined;
    },
    get waiting() {
      return waiting.size;
    },
    async start(request) {
      waiting.admit({ ...request.workload, size_bytes: sizeOf(request.workload) });
      const first = await enqueue(request);
      if (first.kind !== "never") return first;
      await fleet.refresh();
      return enqueue(request);
    },
    consider(rows) {
      for (const row of rows) waiting.take(row, collects());
      if (collects()) wake();
      else deps.announcePending();
    },
    discount: (workloadId) => waiting.discount(workloadId),
    async recount() {
      const before = waiting.snapshot();
      const pending = await fleet.recount();
      waiting.settle(before, pending);
      // What is counted as placed is being placed, or was since the read.
      for (const row of pending)
        if (isWaiting(row) && !waiting.has(row.id) && !fleet.isCounted(row.id)) waiting.take(row, collects());
      if (collects()) wake();
    },
    wake,
    renewLease,
    async settle(workloadIds) {
      for (const id of workloadIds) doubtful.add(id);
      await settleSoon();
    },
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
      if (guard) await releaseLeadership(sql, writer.replicaId);
      guard = undefined;
    },
  };

  function enqueue(request: StartRequest): Promise<StartOutcome> {
    const { promise, resolve, reject } = Promise.withResolvers<StartOutcome>();
    starting.push({ request, settle: resolve, fail: reject });
    pump.signal();
    return promise;
  }
}
