import { bootTimeMs } from "./boot-clock.ts";
import type { Contact, Holdings } from "./holdings.ts";
import type { LossTimes } from "./loss.ts";
import type { Workloads } from "./workloads.ts";

/** Timers do not count suspension, so the clock is looked at this often, and at once after a suspension. */
const longestNapMs = 1_000;
const shortestNapMs = 20;
/** Until the control plane says its own. */
const usualTimes: LossTimes = { heartbeatIntervalMs: 10_000, lossMarginMs: 20_000 };

/** Stops what the control plane is about to try elsewhere, by a clock that counts suspension. */
export type LossWatch = {
  /** A heartbeat that was sent at `sentAtMs` of the boot clock was acknowledged. */
  contact(sentAtMs: number, times: LossTimes): void;
  close(): void;
};

/** Starts watching; what an earlier process of this boot knew of the last contact still counts. */
export function watchLoss(deps: { workloads: Workloads; holdings: Holdings; bootId: string }): LossWatch {
  const { workloads, holdings, bootId } = deps;
  let contact: Contact = { bootId, bootTimeMs: bootTimeMs(), times: usualTimes };
  if (holdings.contact?.bootId === bootId) contact = holdings.contact;
  let timer: NodeJS.Timeout;
  const look = (): void => {
    const nextMs = workloads.stopLost(bootTimeMs() - contact.bootTimeMs, contact.times);
    timer = setTimeout(look, Math.max(shortestNapMs, Math.min(nextMs, longestNapMs)));
  };
  look();
  return {
    contact(sentAtMs, { heartbeatIntervalMs, lossMarginMs }) {
      const times = { heartbeatIntervalMs, lossMarginMs };
      contact = { bootId, bootTimeMs: Math.max(sentAtMs, contact.bootTimeMs), times };
      holdings.noteContact(contact);
    },
    close: () => clearTimeout(timer),
  };
}
