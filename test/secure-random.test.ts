import { expect, test } from "vitest";
import { createSecureRandom } from "../server/src/secure-random.ts";

test("secure random numbers are uniform below their bound (chi-square)", () => {
  const random = createSecureRandom();
  const counts = Array.from({ length: 10 }, () => 0);

  for (let draw = 0; draw < 100_000; draw++) {
    const number = random(10);
    counts[number] = (counts[number] as number) + 1;
  }

  const chiSquare = counts.reduce((sum, count) => sum + (count - 10_000) ** 2 / 10_000, 0);
  expect(counts).toHaveLength(10);
  expect(chiSquare).toBeLessThan(45);
});

test("a bound that would favour low numbers by plain remainder does not", () => {
  const random = createSecureRandom();
  const bound = 3 * 2 ** 30;

  let low = 0;
  for (let draw = 0; draw < 20_000; draw++) if (random(bound) < 2 ** 30) low++;

  expect(low / 20_000).toBeGreaterThan(0.3);
  expect(low / 20_000).toBeLessThan(0.37);
});

test.each([0, -1, 1.5, Number.NaN, 2 ** 32 + 1])("a bound of %d is refused", (bound) => {
  expect(() => createSecureRandom()(bound)).toThrow(`random bound ${bound} is not an integer from 1 to 4294967296`);
});
