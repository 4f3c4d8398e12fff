/** Bounds how often one source may try something: an address, a runner. */
export interface AttemptLimiter {
  readonly burst: number;
  readonly perSecond: number;
  /** Takes one attempt; answers 0, or how long to wait for the next one, in ms. */
  take(source: string): number;
}

type Bucket = { tokens: number; time_ms: number };

/** Sources remembered; beyond it the one that was seen longest ago is forgotten. */
const sourceLimit = 10_000;

/** A token bucket for each source: `burst` at once, then `perSecond`. The clock is monotonic, in ms. */
export function createAttemptLimiter(
  burst: number,
  perSecond: number,
  clock: () => number = () => performance.now(),
): AttemptLimiter {
  const buckets = new Map<string, Bucket>();
  return {
    burst,
    perSecond,
    take(source) {
      const time_ms = clock();
      const last = buckets.get(source) ?? { tokens: burst, time_ms };
      const tokens = Math.min(burst, last.tokens + ((time_ms - last.time_ms) / 1000) * perSecond);
      buckets.delete(source);
      buckets.set(source, { tokens: tokens >= 1 ? tokens - 1 : tokens, time_ms });
      if (buckets.size > sourceLimit) buckets.delete(buckets.keys().next().value!);
      return tokens >= 1 ? 0 : Math.ceil(((1 - tokens) / perSecond) * 1000);
    },
  };
}
