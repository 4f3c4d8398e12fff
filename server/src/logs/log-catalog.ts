/** Which logs this server knows in memory: loaded from the segment index when first used, let go when idle. */
import { createLogState, isElsewhere, isInJournal, LogStoreError, takeSealed, type LogState } from "./log-state.ts";
import type { LogKey, SegmentIndex } from "./segment-index.ts";

/** How many idle logs are kept in memory. */
const maximumIdleLogs = 4096;

type Entry = { users: number; state: Promise<LogState>; loaded: LogState | undefined };

export type LogCatalog = {
  /** Runs `use` with the log, which stays in memory until it settles. */
  use<T>(key: LogKey, use: (log: LogState) => Promise<T>): Promise<T>;
  /** Takes the log until `release`. */
  acquire(key: LogKey): Promise<{ log: LogState; release(): void }>;
  /** Looks again in the segment index for what other servers have sealed; not for logs that live here. */
  refresh(log: LogState): Promise<void>;
  /** From now on every log of the workload is refused; returns those in memory. */
  startDelete(workloadId: string): Promise<LogState[]>;
  finishDelete(workloadId: string): void;
};

const nameOf = ({ workloadId, fence }: LogKey): string => `${workloadId}/${fence}`;

/** Starts empty; the state of a log is read from `segments` when it is first asked for. */
export function createLogCatalog(segments: SegmentIndex): LogCatalog {
  const entries = new Map<string, Entry>();
  const deleting = new Set<string>();

  async function load(key: LogKey): Promise<LogState> {
    const [rows, endedAt] = await Promise.all([segments.list(key), segments.endedAt(key)]);
    return createLogState(key, rows, endedAt);
  }

  function find(key: LogKey): Entry {
    const name = nameOf(key);
    const found = entries.get(name);
    const entry: Entry = found ?? { users: 0, loaded: undefined, state: load(key) };
    if (found === undefined) {
      entry.state.then(
        (log) => (entry.loaded = log),
        () => entries.delete(name),
      );
    }
    entries.delete(name);
    entries.set(name, entry);
    return entry;
  }

  function evictIdle(): void {
    if (entries.size <= maximumIdleLogs) return;
    for (const [name, { users, loaded }] of entries) {
      if (users === 0 && loaded !== undefined && !isInJournal(loaded)) entries.delete(name);
      if (entries.size <= maximumIdleLogs) return;
    }
  }

  async function acquire(key: LogKey): Promise<{ log: LogState; release(): void }> {
    if (deleting.has(key.workloadId)) throw new LogStoreError("deleted", `log of ${key.workloadId} is deleted`);
    const entry = find(key);
    entry.users += 1;
    const release = (): void => {
      entry.users -= 1;
      evictIdle();
    };
    try {
      return { log: await entry.state, release };
    } catch (error) {
      release();
      throw error;
    }
  }

  return {
    acquire,
    async refresh(log) {
      if (!isElsewhere(log)) return;
      const [rows, endedAt] = await Promise.all([segments.list(log.key), segments.endedAt(log.key)]);
      takeSealed(log, rows, endedAt);
    },
    async use(key, use) {
      const { log, release } = await acquire(key);
      try {
        return await use(log);
      } finally {
        release();
      }
    },
    async startDelete(workloadId) {
      deleting.add(workloadId);
      const found = [...entries].filter(([name]) => name.startsWith(`${workloadId}/`));
      for (const [name] of found) entries.delete(name);
      const states = await Promise.allSettled(found.map(([, { state }]) => state));
      return states.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
    },
    finishDelete: (workloadId) => void deleting.delete(workloadId),
  };
}
