import type { Logger } from "pino";

/** One background loop (I10): takes no input, runs by period and by signal, never twice at once. */
export interface Loop {
  readonly name: string;
  /** Runs soon; signals while it runs lead to one more run. */
  signal(): void;
  /** When it last completed without an error, in ms of the monotonic clock. */
  readonly completed_ms: number;
  /** How long its last run took, in ms. */
  readonly duration_ms: number;
  /** Waits for a run under way; no more follow. */
  stop(): Promise<void>;
}

export type LoopOptions = { name: string; period_ms: number; log: Logger; run: () => Promise<void> };

/** Starts a loop; its first run is at once. */
export function startLoop({ name, period_ms, log, run }: LoopOptions): Loop {
  let stopped = false;
  let signalled = true;
  let wake: (() => void) | undefined;
  let completed_ms = performance.now();
  let duration_ms = 0;
  const turn = async () => {
    while (!stopped) {
      if (!signalled) await pause(period_ms, (resume) => (wake = resume));
      if (stopped) return;
      signalled = false;
      const start_ms = performance.now();
      try {
        await run();
        completed_ms = performance.now();
      } catch (error) {
        log.error({ loop: name, err: error }, "loop failed");
        await pause(Math.min(period_ms, 1000), (resume) => (wake = resume));
      }
      duration_ms = performance.now() - start_ms;
    }
  };
  const ended = turn();
  return {
    name,
    signal() {
      signalled = true;
      wake?.();
    },
    get completed_ms() {
      return completed_ms;
    },
    get duration_ms() {
      return duration_ms;
    },
    async stop() {
      stopped = true;
      wake?.();
      await ended;
    },
  };
}

function pause(time_ms: number, onWait: (resume: () => void) => void): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, time_ms);
  onWait(() => {
    clearTimeout(timer);
    resolve();
  });
  return promise;
}
