/** Workloads whose highest fence is remembered. */
export const maximumSeenFences = 20_000;

/** The highest fence that was placed here for each workload, also for those that are gone; the oldest are let go. */
export class SeenFences {
  readonly #fences = new Map<string, bigint>();

  /** 0 for a workload that was not seen. */
  of(workloadId: string): bigint {
    return this.#fences.get(workloadId) ?? 0n;
  }

  add({ workloadId, fence }: { workloadId: string; fence: bigint }): void {
    const seen = this.of(workloadId);
    this.#fences.delete(workloadId);
    this.#fences.set(workloadId, fence > seen ? fence : seen);
    for (const oldest of this.#fences.keys()) {
      if (this.#fences.size <= maximumSeenFences) return;
      this.#fences.delete(oldest);
    }
  }
}
