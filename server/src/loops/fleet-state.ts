import { createChangeReader } from "./change-reader.ts";
import { createBusyRunners, type BusyRunners } from "./busy-runners.ts";
import { createFleetIndex, type FleetIndex } from "../domain/fleet-index.ts";
import { isTerminal } from "../domain/workload.ts";
import type { Sql } from "../store/database.ts";
import { listAllRunners, listChangedRunners, toDomainRunner, type RunnerRow } from "../store/runners.ts";
import { getHorizon, listChangesOfOthers, listLiveWorkloads, type WorkloadHead } from "../store/workloads.ts";

/** The fleet as this replica sees it: every runner, and what live placements take of each. */
export interface FleetState {
  readonly index: FleetIndex;
  /** Counts a placement; once for each workload. */
  occupy(workloadId: string, runnerId: string, resources: ReadonlyMap<string, number>): void;
  /** Takes it back; answers whether it was counted. */
  vacate(workloadId: string): boolean;
  /** Whether a placement of it is counted. */
  isCounted(workloadId: string): boolean;
  /** How many live placements a runner has. */
  liveCount(runnerId: string): number;
  readonly busy: Pick<BusyRunners, "takeTurned" | "turnedSince">;
  /** The replica that holds a runner's session. */
  replicaOf(runnerId: string): string | undefined;
  /** Takes on what changed since the last call: runners, and placements that other replicas made or ended. Calls coalesce. */
  refresh(): Promise<void>;
  /** Reads the live workloads, and counts the placements that no change told of; answers all that live. */
  countLive(): Promise<WorkloadHead[]>;
  /** Holds what is counted against the store, and mends what a failed write left behind; answers what is pending. */
  recount(): Promise<WorkloadHead[]>;
  /** Hears of pending workloads that other replicas made. */
  onPending(listener: (row: WorkloadHead) => void): void;
  /** Hears of workloads that other replicas placed or ended. */
  onSettled(listener: (workloadId: string) => void): void;
  /** Hears that something changed that may let a waiting workload be placed. */
  onRelief(listener: () => void): void;
}

/** Reads everything once. */
export async function openFleetState(sql: Sql, replicaId: string): Promise<FleetState> {
  const index = createFleetIndex();
  const occupied = new Map<string, { runnerId: string; resources: ReadonlyMap<string, number> }>();
  const counts = new Map<string, number>();
  const replicas = new Map<string, string>();
  let onPending: (row: WorkloadHead) => void = () => undefined;
  let onSettled: (workloadId: string) => void = () => undefined;
  let onRelief: () => void = () => undefined;
  const start = await getHorizon(sql);
  const busy = createBusyRunners(start);
  const runnerChanges = createChangeReader(
    start,
    () => getHorizon(sql),
    (from) => listChangedRunners(sql, from),
  );
  const workloadChanges = createChangeReader(
    start,
    () => getHorizon(sql),
    (from) => listChangesOfOthers(sql, replicaId, from),
  );
  let refreshing: Promise<void> | undefined;
  let queued: Promise<void> | undefined;
  let doubtful = new Set<string>();
  /** For each reading of the live under way: what ended meanwhile. */
  const endings = new Set<Set<string>>();
  const isBound = (row: WorkloadHead | undefined) => row !== undefined && row.phase !== "pending";

  const count = (runnerId: string, by: 1 | -1) => {
    const before = counts.get(runnerId) ?? 0;
    if (before + by === 0) counts.delete(runnerId);
    else counts.set(runnerId, before + by);
    if (before === 0 || before + by === 0) busy.turn(runnerId);
  };
  const occupy: FleetState["occupy"] = (workloadId, runnerId, resources) => {
    if (occupied.get(workloadId)?.runnerId === runnerId) return;
    vacate(workloadId);
    occupied.set(workloadId, { runnerId, resources });
    count(runnerId, 1);
    index.reserve(runnerId, resources);
  };
  const vacate: FleetState["vacate"] = (workloadId) => {
    for (const ended of endings) ended.add(workloadId);
    const held = occupied.get(workloadId);
    if (!held) return false;
    occupied.delete(workloadId);
    count(held.runnerId, -1);
    index.release(held.runnerId, held.resources);
    onRelief();
    return true;
  };
  const takeRunner = (row: RunnerRow) => {
    if (row.deleteTime !== null) {
      index.remove(row.id);
      replicas.delete(row.id);
      return;
    }
    index.upsert(toDomainRunner(row));
    if (row.sessionReplicaId === null) replicas.delete(row.id);
    else replicas.set(row.id, row.sessionReplicaId);
  };
  const takeWorkload = (row: WorkloadHead) => {
    if (row.phase === "pending") {
      vacate(row.id);
      onPending(row);
      return;
    }
    onSettled(row.id);
    if (isTerminal(row.phase)) vacate(row.id);
    else occupy(row.id, row.runnerId!, new Map(Object.entries(row.demand?.resources ?? {})));
  };
  const countLive = async () => {
    const ended = new Set<string>();
    endings.add(ended);
    const rows = await listLiveWorkloads(sql).finally(() => endings.delete(ended));
    for (const row of rows) {
      const isCounted = !isBound(row) || occupied.get(row.id)?.runnerId === row.runnerId;
      if (!isCounted && !ended.has(row.id)) takeWorkload(row);
    }
    return rows;
  };
  const read = async () => {
    const { rows: runners } = await runnerChanges.read();
    for (const row of runners) takeRunner(row);
    const { rows: workloads } = await workloadChanges.read();
    for (const row of workloads) takeWorkload(row);
    if (runners.length > 0) onRelief();
  };

  for (const row of await listAllRunners(sql)) takeRunner(row);
  await countLive();

  return {
    index,
    occupy,
    vacate,
    busy,
    isCounted: (workloadId) => occupied.has(workloadId),
    liveCount: (runnerId) => counts.get(runnerId) ?? 0,
    replicaOf: (runnerId) => replicas.get(runnerId),
    async refresh() {
      // A read under way may have begun before the change the caller wants to see, so it gets the next one.
      queued ??= (refreshing ?? Promise.resolve())
        .catch(() => undefined)
        .then(() => {
          queued = undefined;
          refreshing = read().finally(() => (refreshing = undefined));
          return refreshing;
        });
      await queued;
    },
    countLive,
    async recount() {
      const before = new Set(occupied.keys());
      const rows = await countLive();
      const live = new Map(rows.map((row) => [row.id, row]));
      // What was counted before the read and was not there in it, twice in a row, is gone: a placement under way is there by then.
      for (const id of doubtful) if (before.has(id) && !isBound(live.get(id))) vacate(id);
      doubtful = new Set([...before].filter((id) => !isBound(live.get(id))));
      return rows.filter((row) => !isBound(row));
    },
    onPending(listener) {
      onPending = listener;
    },
    onSettled(listener) {
      onSettled = listener;
    },
    onRelief(listener) {
      onRelief = listener;
    },
  };
}
