import { setTimeout as delay } from "node:timers/promises";

/** Work that a loop has begun and does not wait for: so many pieces of it are under way at once. */
export type Hands = {
  /** How many more may be begun; none once they were stopped. */
  readonly free: number;
  /** How many are under way, by whom they are for. */
  underWay: () => Record<string, number>;
  /** `work` says itself what went wrong, and does not reject. */
  begin: (whom: string, work: () => Promise<void>) => void;
  /** Waits for what is under way, no longer than the grace; nothing more is begun. */
  stop: (grace_ms: number) => Promise<void>;
};

/** `onFree`: a piece has ended, and another may be begun. */
export function createHands(count: number, onFree: () => void): Hands {
  const working = new Map<Promise<void>, string>();
  let stopped = false;
  return {
    get free() {
      return stopped ? 0 : count - working.size;
    },
    underWay() {
      const counts: Record<string, number> = {};
      for (const whom of working.values()) counts[whom] = (counts[whom] ?? 0) + 1;
      return counts;
    },
    begin(whom, work) {
      const piece = work().finally(() => {
        working.delete(piece);
        onFree();
      });
      working.set(piece, whom);
    },
    async stop(grace_ms) {
      stopped = true;
      const grace = new AbortController();
      const isOver = delay(grace_ms, undefined, { signal: grace.signal }).catch(() => undefined);
      await Promise.race([Promise.all(working.keys()), isOver]);
      grace.abort();
    },
  };
}
