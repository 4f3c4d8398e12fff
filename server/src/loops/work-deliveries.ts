import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "pino";
import { claimDeliveries, type WholeDelivery } from "../store/deliveries.ts";
import { workDelivery, type WorkDeps } from "../triggers/work-delivery.ts";

/** Deliveries worked at once by one replica. */
const workers = 8;
/** Whoever claimed a delivery and says nothing for so long has died: another works it. Longer than a source may take to answer. */
const lease_ms = 180_000;

export type DeliveryWorker = {
  /** One turn of the loop (I10): takes what is due, as far as there are hands. What it took goes on after it. */
  run: () => Promise<void>;
  /** Waits for what is under way, no longer than the grace: what is left another works once its lease is over. */
  stop: (grace_ms: number) => Promise<void>;
};

/** `signal`: hands are free again. */
export function createDeliveryWorker(deps: WorkDeps & { log: Logger; signal: () => void }): DeliveryWorker {
  const working = new Set<Promise<void>>();
  let stopped = false;
  const work = async (delivery: WholeDelivery) => {
    try {
      await workDelivery(deps, delivery);
    } catch (error) {
      deps.log.error({ err: error, delivery_id: delivery.id }, "a delivery was not worked");
    }
  };
  return {
    async run() {
      const free = workers - working.size;
      if (stopped || free === 0) return;
      for (const delivery of await claimDeliveries(deps.sql, { limit: free, lease_ms })) {
        const one = work(delivery).finally(() => {
          working.delete(one);
          deps.signal();
        });
        working.add(one);
      }
    },
    async stop(grace_ms) {
      stopped = true;
      const grace = new AbortController();
      const isOver = delay(grace_ms, undefined, { signal: grace.signal }).catch(() => undefined);
      await Promise.race([Promise.all(working), isOver]);
      grace.abort();
    },
  };
}
