import type { Sql } from "../store/database.ts";
import { listDeliverable, type WorkloadRow } from "../store/workloads.ts";
import type { SessionRegistry } from "./session-registry.ts";

export type DeliveryDeps = {
  sql: Sql;
  registry: SessionRegistry;
  /** Sends a connected runner what it has not heard of the workload. */
  tell: (row: WorkloadRow) => void;
};

/** Tells the runners that are connected here what the table says they are to hear, and forgets what is over. */
export function createDelivery({ sql, registry, tell }: DeliveryDeps): () => Promise<void> {
  return async () => {
    const sessions = [...registry.all()].map((session) => ({ session, settled: session.sent.settled() }));
    const runnerIds = sessions.map(({ session }) => session.runnerId);
    for (const row of await listDeliverable(sql, runnerIds)) tell(row);
    for (const { session, settled } of sessions) {
      session.sent.forget(settled);
      for (const workloadId of settled.keys()) session.stopSent.delete(workloadId);
    }
  };
}
