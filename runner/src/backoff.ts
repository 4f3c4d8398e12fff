/** The first pause after a failure. */
export const leastBackoffMs = 250;
/** The longest pause. */
export const mostBackoffMs = 30_000;

/** The pause before try number `failures` + 1: exponential, with full jitter. `random` is in [0, 1). */
export function backoffMs(failures: number, random: number): number {
  const ceilingMs = Math.min(mostBackoffMs, leastBackoffMs * 2 ** Math.min(Math.max(failures - 1, 0), 16));
  return Math.round(ceilingMs * random);
}

/** A pause that was asked for, stretched by up to a quarter so that many do not come back at once. */
export function jitteredMs(askedMs: number, random: number): number {
  return Math.round(askedMs * (1 + random / 4));
}

/** The longest that a timer can wait: beyond 2^31 - 1 ms Node would call it at once. */
export const longestTimerMs = 2_000_000_000;

/** Waits, at most some weeks, or until `signal` aborts; answers whether the whole time passed. */
export function pause(waitMs: number, signal: AbortSignal): Promise<boolean> {
  if (signal.aborted) return Promise.resolve(false);
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(
    () => {
      signal.removeEventListener("abort", onAbort);
      resolve(true);
    },
    Math.min(waitMs, longestTimerMs),
  );
  const onAbort = (): void => {
    clearTimeout(timer);
    resolve(false);
  };
  signal.addEventListener("abort", onAbort, { once: true });
  return promise;
}

/** Time for a stream to end in good order before it is cut. */
const orderlyEndMs = 500;

/** Aborts a little after `signal`, so that a stream whose messages ended with `signal` may end in good order before. */
export function abortLater(signal: AbortSignal): { signal: AbortSignal; abort: () => void } {
  const later = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const onAbort = (): void => {
    timer = setTimeout(() => later.abort(), orderlyEndMs);
  };
  if (signal.aborted) onAbort();
  else signal.addEventListener("abort", onAbort, { once: true });
  const abort = (): void => {
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
    later.abort();
  };
  return { signal: later.signal, abort };
}
