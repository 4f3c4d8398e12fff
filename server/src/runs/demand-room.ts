import { AgynError } from "../domain/errors.ts";
import type { SqlOrTransaction } from "../store/database.ts";
import { countQueuedJobs } from "../store/queue-settings.ts";

/** Room for so many more jobs in an organization's queue of at most `maximum`; `depth` is what this replica knows of that waits. */
export type Room = { jobs: number; maximum: number; depth: number };

/** Whether the queue is so far from its limit that what this replica knows of it decides. */
export function isRoomFar({ jobs, maximum, depth }: Room): boolean {
  // Other replicas may have queued some that this one has not heard of.
  const margin = Math.max(leastMargin, maximum / 10);
  return depth + jobs + margin <= maximum;
}

/** Throws `LIMIT` where the queue has no room by the store's own count; starts take turns until the caller's transaction ends. */
export async function demandRoom(
  sql: SqlOrTransaction,
  organizationId: string,
  { jobs, maximum }: Room,
): Promise<void> {
  const counted = await countQueuedJobs(sql, organizationId);
  if (counted + jobs <= maximum) return;
  throw new AgynError(
    "LIMIT",
    `the queue is full: ${counted} jobs wait, and ${jobs} more would pass the organization's limit of ${maximum} (maximum_queued_jobs)`,
    { metadata: { limit: "maximum_queued_jobs", value: String(maximum), depth: String(counted), jobs: String(jobs) } },
  );
}

const leastMargin = 1000;
