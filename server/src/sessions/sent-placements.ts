/**
 * The placements that were sent to a runner in one session, so that each is sent once (I1): however late somebody hands on what was read
 * of the table, and whatever has become of the placement since.
 */
export interface SentPlacements {
  /** Whether this placement, or a later one of its workload, was sent. */
  has(workloadId: string, fence: bigint): boolean;
  add(workloadId: string, fence: bigint): void;
  /** The placement is over, and the table says so. It is remembered until `forget`, since somebody may have read the table before. */
  settle(workloadId: string, fence: bigint): void;
  /** What is over by now: to be forgotten once a reading of the table that begins after this call has been handed on. */
  settled(): ReadonlyMap<string, bigint>;
  forget(settled: ReadonlyMap<string, bigint>): void;
  readonly size: number;
}

/** Of one session, to which nothing was sent yet. */
export function createSentPlacements(): SentPlacements {
  const fences = new Map<string, bigint>();
  const over = new Map<string, bigint>();
  return {
    has: (workloadId, fence) => (fences.get(workloadId) ?? 0n) >= fence,
    add: (workloadId, fence) => void fences.set(workloadId, fence),
    settle(workloadId, fence) {
      if (fences.get(workloadId) === fence) over.set(workloadId, fence);
    },
    settled: () => new Map(over),
    forget(settled) {
      for (const [workloadId, fence] of settled) {
        // Under a later fence it may have been sent again meanwhile.
        if (fences.get(workloadId) === fence) fences.delete(workloadId);
        if (over.get(workloadId) === fence) over.delete(workloadId);
      }
    },
    get size() {
      return fences.size;
    },
  };
}
