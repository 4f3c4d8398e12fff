import { randomFillSync } from "node:crypto";

/** A uniform integer from 0 up to, but not including, `bound` (1 ≤ bound ≤ 2^32). */
export type Random = (bound: number) => number;

const poolWords = 1024;

const range = 2 ** 32;

/**
 * A cryptographic source of uniform integers. Bytes are drawn from the system in pools of 4 KiB; a draw in the uneven
 * remainder of the 32-bit range is thrown away, so that every number below the bound is equally likely.
 */
export function createSecureRandom(): Random {
  const pool = new Uint32Array(poolWords);
  let next = poolWords;

  return (bound) => {
    if (!Number.isInteger(bound) || bound < 1 || bound > range) {
      throw new RangeError(`random bound ${bound} is not an integer from 1 to ${range}`);
    }
    const limit = range - (range % bound);
    for (;;) {
      if (next === poolWords) {
        randomFillSync(pool);
        next = 0;
      }
      const word = pool[next] as number;
      pool[next++] = 0;
      if (word < limit) return word % bound;
    }
  };
}
