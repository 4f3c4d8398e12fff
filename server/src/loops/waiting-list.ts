import { demandFromJson } from "../domain/workload.ts";
import type { WorkloadHead } from "../store/workloads.ts";
import type { FailUnreadable } from "./fail-unreadable.ts";
import { createPendingRoom, type Counted, type PendingLimits } from "./pending-room.ts";
import { isWaiting, toWaiting, type Waiting } from "./waiting.ts";

/** What was known at one moment. */
type Snapshot = { waiting: ReadonlyMap<string, Waiting>; counted: ReadonlyMap<string, Counted> };

/**
 * The workloads that wait for a runner, in the order in which they came here. Where this replica places it holds what that needs, never
 * a spec; on the others it only counts.
 */
export interface WaitingList {
  readonly size: number;
  values(): Iterable<Waiting>;
  has(workloadId: string): boolean;
  /** Counts a start before it is written. Throws `LIMIT` where its organization has no room for it. */
  admit(start: Counted): void;
  /** Takes a record on as it is now; `places`: whether this replica may place it. */
  take(row: WorkloadHead, places: boolean): void;
  /** It waits no more. */
  remove(workloadId: string): void;
  /** No longer counts what another replica says has gone on. */
  discount(workloadId: string): void;
  /** Another replica places. */
  letGo(): void;
  snapshot(): Snapshot;
  /** Drops what was there in `before`, did not come anew since, and is not pending in a reading of the table that began after it. */
  settle(before: Snapshot, pending: readonly WorkloadHead[]): void;
}

/** Starts empty; a workload whose demand cannot be read goes to `failUnreadable` instead. */
export function createWaitingList(limits: PendingLimits, failUnreadable: FailUnreadable): WaitingList {
  const waiting = new Map<string, Waiting>();
  const room = createPendingRoom(limits);
  const remove = (workloadId: string) => {
    waiting.delete(workloadId);
    room.leave(workloadId);
  };
  return {
    get size() {
      return waiting.size;
    },
    values: () => waiting.values(),
    has: (workloadId) => waiting.has(workloadId),
    admit: (start) => room.admit(start),
    remove,
    take(row, places) {
      if (!isWaiting(row)) {
        remove(row.id);
        return;
      }
      room.note(row);
      if (!places) return;
      try {
        waiting.set(row.id, toWaiting(row, demandFromJson(row.demand)));
      } catch (error) {
        failUnreadable(row, error);
      }
    },
    discount: (workloadId) => room.leave(workloadId),
    letGo: () => waiting.clear(),
    snapshot: () => ({ waiting: new Map(waiting), counted: room.snapshot() }),
    settle(before, pending) {
      const waits = new Set(pending.filter(isWaiting).map((row) => row.id));
      for (const [id, one] of before.waiting) if (waiting.get(id) === one && !waits.has(id)) waiting.delete(id);
      room.settle(before.counted, (id) => waits.has(id));
    },
  };
}
