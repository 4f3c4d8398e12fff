import type { WatchFeed } from "../loops/watch-feed.ts";
import type { Sql } from "../store/database.ts";
import { getWorkload, type WorkloadRow } from "../store/workloads.ts";

/** Waits until a workload is pending no more, or is gone: before that it has no log that could be read. */
export function createPlacementWait({ sql, feed }: { sql: Sql; feed: WatchFeed<WorkloadRow> }) {
  return async (workloadId: string, signal: AbortSignal): Promise<void> => {
    const placed = new AbortController();
    const { batches } = await feed.subscribe(AbortSignal.any([signal, placed.signal]));
    try {
      const row = await getWorkload(sql, workloadId);
      if (!row || row.phase !== "pending") return;
      for await (const batch of batches)
        if (batch.rows.some((one) => one.id === workloadId && one.phase !== "pending")) return;
    } finally {
      placed.abort();
    }
  };
}
