import { AgynError } from "../domain/errors.ts";
import type { SqlOrTransaction } from "../store/database.ts";
import { countQueuedJobs } from "../store/queue-settings.ts";

/**
 * Throws `LIMIT` where an organization's queue, of at most `maximum` jobs, has no room for so many more. `depth` is what this replica
 * knows of; where that comes near the limit the store's own count decides, and starts take turns until the caller's transaction ends.
 */
export async function demandRoom(
  sql: SqlOrTransaction,
  organizationId: string,
  { jobs, maximum, depth }: { jobs: number; maximum: number; depth: number },
): Promise<void> {
  // Other replicas may have queued some that this one has not heard of.
  const margin = Math.max(leastMargin, maximum / 10);
  if (depth + jobs + margin <= maximum) return;
  const counted = await countQueuedJobs(sql, organizationId);
  if (counted + jobs <= maximum) return;
  throw new AgynError(
    "LIMIT",
    `the queue is full: ${counted} jobs wait, and ${jobs} more would pass the organization's limit of ${maximum} (maximum_queued_jobs)`,
    { metadata: { limit: "maximum_queued_jobs", value: String(maximum), depth: String(counted), jobs: String(jobs) } },
  );
}

const leastMargin = 1000;
