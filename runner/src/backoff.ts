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

/** Waits, or until `signal` aborts; answers whether the whole time passed. */
export function pause(waitMs: number, signal: AbortSignal): Promise<boolean> {
  if (signal.aborted) return Promise.resolve(false);
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => {
    signal.removeEventListener("abort", onAbort);
    resolve(true);
  }, waitMs);
  const onAbort = (): void => {
    clearTimeout(timer);
    resolve(false);
  };
  signal.addEventListener("abort", onAbort, { once: true });
  return promise;
}
