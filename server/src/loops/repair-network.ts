import type { Logger } from "pino";
import type { NetworkFacts } from "../domain/overlay-plan.ts";

export type NetworkRepairDeps = {
  facts: () => Promise<NetworkFacts>;
  /** Brings the network to what follows from the facts. */
  repair: (facts: NetworkFacts, signal: AbortSignal) => Promise<void>;
  leads: () => boolean;
  /** How often the network is looked at where nothing of ours has changed. */
  period_ms: number;
  /** Asks for a run. */
  signal: () => void;
  log: Logger;
};

/** A repair of many thousand records takes its time; one that hangs must not hold up the next for ever. */
const timeout_ms = 10 * 60_000;
const firstRetry_ms = 1000;
const mostRetry_ms = 60_000;

/** Changes are gathered for so long, in which a session that is ended can also hear why from us, before the network cuts it. */
const settle_ms = 300;

/**
 * Keeps a network repaired, on the leader (I10): when something of ours has changed, and by period. A controller that is away delays
 * nothing else: what is to be done there follows from our own records, and is tried again until it is done.
 */
export function createNetworkRepair({ facts, repair, leads, period_ms, signal, log }: NetworkRepairDeps) {
  const closing = new AbortController();
  let repairTime: Date | undefined;
  let error: unknown;
  let failures = 0;
  let hasChanged = false;
  let due_ms = 0;
  let timer: NodeJS.Timeout | undefined;

  const runIn = (delay_ms: number) => {
    due_ms = performance.now() + delay_ms;
    clearTimeout(timer);
    if (closing.signal.aborted) return;
    timer = setTimeout(() => {
      due_ms = 0;
      signal();
    }, delay_ms).unref();
  };

  return {
    /** Says that the facts may be others. */
    changed(): void {
      hasChanged = true;
      if (failures === 0 && performance.now() + settle_ms < due_ms) runIn(settle_ms);
    },
    /** The body of the loop: does nothing before something is due. Never rejects for what the network does. */
    async run(): Promise<void> {
      if (!leads()) {
        // Whoever comes to lead looks at once.
        [due_ms, failures, repairTime, error] = [0, 0, undefined, undefined];
        return;
      }
      if (performance.now() < due_ms) return;

      hasChanged = false;
      const known = await facts();
      try {
        await repair(known, AbortSignal.any([closing.signal, AbortSignal.timeout(timeout_ms)]));
        if (failures > 0) log.info("the OpenZiti network is as it should be again");
        [repairTime, error, failures] = [new Date(), undefined, 0];
        runIn(hasChanged ? settle_ms : period_ms);
      } catch (caught) {
        if (closing.signal.aborted) return;
        if (failures === 0) log.warn({ err: caught }, "the OpenZiti network could not be repaired; it is tried again");
        [error, failures] = [caught, failures + 1];
        runIn(Math.min(firstRetry_ms * 2 ** (failures - 1), mostRetry_ms) * (0.5 + Math.random() / 2));
      }
    },
    /** When all there was last as it should be, and why the last try failed, if it did. */
    state: () => ({ repairTime, error }),
    stop(): void {
      closing.abort();
      clearTimeout(timer);
    },
  };
}
