import { AgynError } from "./errors.ts";

/** A bookmark: the store's epoch and a transaction, before which everything has been seen. */
export function toBookmark(storeEpoch: number, horizon: string): string {
  return `e${storeEpoch}.${horizon}`;
}

/** The transaction of a bookmark; `CURSOR_EXPIRED` where it is of another store, or too far back. */
export function fromBookmark(bookmark: string, storeEpoch: number, horizon: string): string {
  const match = /^e([0-9]{1,6})\.([0-9]{1,19})$/.exec(bookmark);
  if (!match) throw new AgynError("INVALID_ARGUMENT", "bookmark: it is not one that a watch gave");
  const behind = BigInt(horizon) - BigInt(match[2]!);
  if (Number(match[1]) !== storeEpoch || behind < 0n || behind > bookmarkReach) {
    throw new AgynError("CURSOR_EXPIRED", "the bookmark is too old: watch again without it, from a snapshot");
  }
  return match[2]!;
}

/** Transactions that a bookmark may lie behind. */
const bookmarkReach = 5_000_000n;
