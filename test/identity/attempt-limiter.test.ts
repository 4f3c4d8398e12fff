import { expect, test } from "vitest";
import { createAttemptLimiter } from "../../server/src/identity/attempt-limiter.ts";

test("an address may try a burst at once, then as many per second as stated", () => {
  let now_ms = 0;
  const limiter = createAttemptLimiter(3, 2, () => now_ms);

  const atOnce = [limiter.take("a"), limiter.take("a"), limiter.take("a"), limiter.take("a")];
  now_ms = 500;
  const later = [limiter.take("a"), limiter.take("a")];

  expect(atOnce).toEqual([0, 0, 0, 500]);
  expect(later).toEqual([0, 500]);
});

test("one address's attempts leave another's alone", () => {
  const limiter = createAttemptLimiter(1, 1, () => 0);
  limiter.take("a");

  expect(limiter.take("a")).toBeGreaterThan(0);
  expect(limiter.take("b")).toBe(0);
});
