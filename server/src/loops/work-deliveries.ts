import type { Logger } from "pino";
import { claimDeliveries, type WholeDelivery } from "../store/deliveries.ts";
import { workDelivery, type WorkDeps } from "../triggers/work-delivery.ts";
import { createHands } from "./hands.ts";

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
  const hands = createHands(workers, deps.signal);
  const work = async (delivery: WholeDelivery) => {
    try {
      await workDelivery(deps, delivery);
    } catch (error) {
      deps.log.error({ err: error, delivery_id: delivery.id }, "a delivery was not worked");
    }
  };
  return {
    async run() {
      if (hands.free === 0) return;
      for (const delivery of await claimDeliveries(deps.sql, { limit: hands.free, lease_ms }))
        hands.begin(delivery.triggerId, () => work(delivery));
    },
    stop: hands.stop,
  };
}
