import { bootTimeMs } from "./boot-clock.ts";
import { writeContact } from "./executors/loss-limit.ts";
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

export type LossWatchDeps = {
  workloads: Workloads;
  holdings: Holdings;
  bootId: string;
  /** For the wrappers of jobs, which outlive this process. */
  contactFile: string;
};

/** Starts watching; what an earlier process of this boot knew of the last contact still counts. */
export function watchLoss({ workloads, holdings, bootId, contactFile }: LossWatchDeps): LossWatch {
  let contact: Contact = { bootId, bootTimeMs: bootTimeMs(), times: usualTimes };
  if (holdings.contact?.bootId === bootId) contact = holdings.contact;
  writeContact(contactFile, contact.bootTimeMs);
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
      writeContact(contactFile, contact.bootTimeMs);
    },
    close: () => clearTimeout(timer),
  };
}
