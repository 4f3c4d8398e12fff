/*
 * Ranks: texts whose order (by code unit, digits before letters) is the order of the queue within a priority. Between two
 * of them there is always another one, so that moving a job writes one row.
 */

const digits = "0123456789abcdefghijklmnopqrstuvwxyz";
const base = digits.length;
const width = 12;
/** Tags are kept to a millionth of a turn. */
const tagUnit = 1_000_000;
/** A rank that would grow beyond it asks for its neighbourhood to be ranked anew. */
export const rankLimit_characters = 200;

/** The rank of a job that joins the queue: by its turn, then by its key. Never ends in "0". */
export function rankOf(tag: number, key: bigint): string {
  return `${pad(BigInt(Math.round(tag * tagUnit)))}${pad(key)}${digits[base / 2]!}`;
}

function pad(value: bigint): string {
  return value.toString(base).padStart(width, "0");
}

/**
 * A rank after `low` and before `high`; either may be missing. As short as it can be, and never ending in "0", so that
 * there is room before it, too.
 */
export function rankBetween(low: string | undefined, high: string | undefined): string {
  if (low !== undefined && high !== undefined && low >= high) throw new Error(`${low} is not before ${high}`);
  let rank = "";
  let bounded = high !== undefined;
  for (let position = 0; ; position++) {
    const least = digitAt(low, position);
    const most = bounded ? digitAt(high, position) : base;
    if (most - least > 1) return rank + digits[(least + most) >> 1]!;
    rank += digits[least]!;
    // Once a digit is less than that of `high`, whatever follows is before it.
    if (most !== least) bounded = false;
  }
}

/** What ranks that come after `low`, but before those of jobs with a later turn, are less than: for the end of the queue. */
export function endOfTurn(low: string): string {
  const turn = [...low.slice(0, width).padEnd(width, "0")].reduce(
    (sum, one) => sum * 36n + BigInt(digits.indexOf(one)),
    0n,
  );
  return turn + 1n < 36n ** BigInt(width) ? pad(turn + 1n) : `${low}z`;
}

/** So many ranks between two, in order. */
export function ranksBetween(count: number, low: string | undefined, high: string | undefined): string[] {
  if (count === 0) return [];
  const middle = rankBetween(low, high);
  const before = Math.floor((count - 1) / 2);
  return [...ranksBetween(before, low, middle), middle, ...ranksBetween(count - 1 - before, middle, high)];
}

function digitAt(rank: string | undefined, position: number): number {
  return rank === undefined || position >= rank.length ? 0 : digits.indexOf(rank[position]!);
}
