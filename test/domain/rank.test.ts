import fc from "fast-check";
import { expect, test } from "vitest";
import { endOfTurn, rankBetween, rankLimit_characters, rankOf, ranksBetween } from "../../server/src/domain/rank.ts";

const rank = fc
  .tuple(fc.stringMatching(/^[0-9a-z]{0,20}$/), fc.stringMatching(/^[1-9a-z]$/))
  .map(([head, last]) => head + last);
const pair = fc
  .tuple(rank, rank)
  .filter(([a, b]) => a !== b)
  .map(([a, b]): [string, string] => (a < b ? [a, b] : [b, a]));

test("between any two ranks there is another, and it never ends in 0", () => {
  fc.assert(
    fc.property(pair, ([low, high]) => {
      const between = rankBetween(low, high);
      expect(low < between && between < high && !between.endsWith("0")).toBe(true);
    }),
  );
});

test("before and after any rank there is another", () => {
  fc.assert(
    fc.property(rank, (one) => {
      expect(rankBetween(undefined, one) < one && rankBetween(one, undefined) > one).toBe(true);
      expect(one < endOfTurn(one)).toBe(true);
    }),
  );
});

test("ranks that are spread over a gap are in order, and all within it", () => {
  fc.assert(
    fc.property(pair, fc.integer({ min: 1, max: 120 }), ([low, high], count) => {
      const all = [low, ...ranksBetween(count, low, high), high];
      expect(all).toEqual(all.toSorted());
      expect(new Set(all).size).toBe(count + 2);
    }),
  );
});

test("bad-23: a gap that is halved again and again grows its ranks slowly, until they ask to be ranked anew", () => {
  let [low, high] = [rankOf(1, 1n), rankOf(1, 2n)];
  let moves = 0;
  for (; low.length <= rankLimit_characters; moves++) {
    const between: string = rankBetween(low, high);
    if (moves % 2 === 0) low = between;
    else high = between;
  }
  expect(moves).toBeGreaterThan(400);
});

test("ranks of jobs that join go by their turn, then by their key", () => {
  const turns = [rankOf(0.5, 9n), rankOf(1, 7n), rankOf(1, 40n), rankOf(1.5, 1n), rankOf(1000, 2n)];
  expect(turns).toEqual(turns.toSorted());
});

test("what stands at the end of the queue stands before those whose turn is later", () => {
  const last = rankOf(7, 100n);
  const moved = rankBetween(last, endOfTurn(last));
  expect(last < moved && moved < rankOf(8, 1n)).toBe(true);
});

test("two ranks in the wrong order are refused", () => {
  expect(() => rankBetween("b", "a")).toThrow("not before");
});
