import type { Sql } from "../store/database.ts";
import { takeBatch } from "../domain/take-batch.ts";
import { listDeliverable, listWorkloadsByKey, type WorkloadHead, type WorkloadRow } from "../store/workloads.ts";
import type { SessionRegistry } from "./session-registry.ts";

export type DeliveryDeps = {
  sql: Sql;
  registry: SessionRegistry;
  /** Sends a connected runner what it has not heard of the workload. */
  tell: (row: WorkloadRow) => void;
  /** Asks a connected runner to stop what it was sent. */
  stop: (row: WorkloadHead) => void;
};

/** Records that are read whole at once. */
const bounds = { count: 500, bytes: 4 * 1024 * 1024 };

/** Tells the runners that are connected here what the table says they are to hear, and forgets what is over. */
export function createDelivery({ sql, registry, tell, stop }: DeliveryDeps): () => Promise<void> {
  const isUnsent = ({ id, fence, phase, runnerId }: WorkloadHead) =>
    phase === "placed" && registry.get(runnerId!)?.sent.has(id, fence) === false;
  return async () => {
    const sessions = [...registry.all()].map((session) => ({ session, settled: session.sent.settled() }));
    const runnerIds = sessions.map(({ session }) => session.runnerId);
    const heads = await listDeliverable(sql, runnerIds);
    for (const head of heads) if (head.stopRequested && !isUnsent(head)) stop(head);
    for (const unsent = heads.filter(isUnsent); unsent.length > 0;) {
      const batch = takeBatch(unsent, (one) => one.size_bytes, bounds);
      const keys = batch.map((one) => one.key);
      for (const row of await listWorkloadsByKey(sql, keys)) tell(row);
    }
    for (const { session, settled } of sessions) {
      session.sent.forget(settled);
      for (const workloadId of settled.keys()) session.stopSent.delete(workloadId);
    }
  };
}
