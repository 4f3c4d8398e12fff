import { excludedAt, nobody } from "../domain/excluded.ts";
import { demandFromJson } from "../domain/workload.ts";
import { acquireLeadership, releaseLeadership } from "../store/leader.ts";
import { listLiveWorkloads, recordWaiting, type WorkloadRow } from "../store/workloads.ts";
import { startWorkloads, type NewWorkload, type StartedWorkload } from "../store/workload-starts.ts";
import { placeWorkloads, type PlacingGuard } from "../store/workload-transitions.ts";
import type { Placer, PlacerDeps, StartOutcome, StartRequest } from "./placer.ts";
import { createPump } from "./pump.ts";
import { takeStarts } from "./start-batch.ts";
import { changedWaits, isWaiting, lossFacts, toStartedRow, type Waiting } from "./waiting.ts";

type Pick = Waiting & { id: string; key: bigint; runnerId: string };
type Starting = { request: StartRequest; settle: (outcome: StartOutcome) => void; fail: (error: unknown) => void };

/** Waiting workloads of one statement. */
const batchLimit = 500;
/** Statements under way; what comes meanwhile is gathered, so a lone start goes at once and a burst in batches. */
const writeLimit = 4;
const explainedLimit = 200;

/** Nothing runs until the lease is taken. */
export function createPlacer(deps: PlacerDeps): Placer {
  const { sql, fleet, writer, random, log } = deps;
  const waiting = new Map<string, Waiting>();
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
    for (const { row, demand } of waiting.values()) {
      const pick = fleet.index.pick(demand, excludedAt(row.excluded, Date.now()), random);
      if (pick.kind === "none") continue;
      fleet.occupy(row.id, pick.runnerId, demand.resources);
      picks.push({ id: row.id, key: row.key, runnerId: pick.runnerId, row, demand });
      if (picks.length === batchLimit) {
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
    const fences = new Map(placed.map((one) => [one.id, one.fence]));
    for (const { id, runnerId, row, demand } of picks) {
      const fence = fences.get(id);
      if (fence === undefined) {
        fleet.vacate(id);
        continue;
      }
      waiting.delete(id);
      const { organizationId, spec } = row;
      deps.deliver({ id, fence, runnerId, organizationId, spec, demand, ...lossFacts(row) });
    }
    if (placed.length < picks.length) await relearn(picks.filter((one) => !fences.has(one.id)).map((one) => one.id));
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
    for (const one of decided)
      if (one.pick.kind === "none" && one.pick.verdict === "never") one.settle({ kind: "never" });
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
      if (result.phase === "placed") {
        const { id, organizationId, spec } = row;
        const { demand } = one.request;
        const { fence } = result;
        deps.deliver({ id, fence, runnerId: row.runnerId!, organizationId, spec, demand, ...lossFacts(row) });
      } else {
        pending = true;
        if (collects()) waiting.set(row.id, { row: toStartedRow(row, result), demand: one.request.demand });
      }
      one.settle({ kind: "started", row: toStartedRow(row, result) });
    }
    if (pending) wake();
    if (pending && !collects()) deps.announcePending();
  };

  /** Placements were refused by the guard: the fleet changed, the lease went, or the workloads are no longer pending. */
  const relearn = async (ids: readonly string[]) => {
    await renewLease();
    await fleet.refresh();
    const rows = await listLiveWorkloads(sql);
    const stillPending = new Set(rows.filter(isWaiting).map((row) => row.id));
    for (const id of ids) if (!stillPending.has(id)) waiting.delete(id);
    dirty = true;
  };

  const takeWaiting = (row: WorkloadRow) => {
    try {
      waiting.set(row.id, { row, demand: demandFromJson(row.demand) });
    } catch (error) {
      deps.failUnreadable(row, error);
    }
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
      waiting.clear();
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
    for (const row of live) if (isWaiting(row)) takeWaiting(row);
    settleDoubts(doubted, live);
  };

  const settleDoubts = (doubted: readonly string[], live: readonly WorkloadRow[]) => {
    const rows = new Map(live.map((row) => [row.id, row]));
    for (const id of doubted) {
      const row = rows.get(id);
      if (row === undefined || row.phase === "pending") fleet.vacate(id);
      if (row === undefined || !isWaiting(row)) waiting.delete(id);
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
      const first = await enqueue(request);
      if (first.kind !== "never") return first;
      await fleet.refresh();
      return enqueue(request);
    },
    consider(rows) {
      if (!collects()) {
        deps.announcePending();
        return;
      }
      for (const row of rows) {
        if (isWaiting(row)) takeWaiting(row);
        else waiting.delete(row.id);
      }
      wake();
    },
    takeUp(pending) {
      if (!collects()) return;
      for (const row of pending) if (isWaiting(row) && !waiting.has(row.id)) takeWaiting(row);
      wake();
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
      for (const one of changed) {
        const held = waiting.get(one.id);
        if (held) held.row = { ...held.row, message: one.message, verdict: one.verdict };
      }
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
