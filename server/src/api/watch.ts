import type { Sql } from "../store/database.ts";
import { getHorizon } from "../store/workloads.ts";
import { fromBookmark, toBookmark } from "../domain/bookmark.ts";
import type { Changing } from "../loops/change-reader.ts";
import type { WatchFeed } from "../loops/watch-feed.ts";

/** What a watch is made of: how to read a snapshot, how to read what changed, and the live feed. */
export type WatchSource<Row extends Changing, Item> = {
  sql: Sql;
  storeEpoch: number;
  feed: WatchFeed<Row>;
  /** Pages of the snapshot. */
  snapshot: () => AsyncIterable<readonly Row[]>;
  changes: (from: string) => Promise<readonly Row[]>;
  /** Leaves out what the caller does not watch, and puts the rest into the contract's form. */
  present: (rows: readonly Row[]) => Promise<Item[]>;
};

export type WatchStep<Item> = { items: Item[]; bookmark: string; snapshotComplete: boolean };

const itemLimit = 500;
/** How often a watcher that sees no change hears how far the watch has come, so that its bookmark does not grow old. */
const bareBookmarkPeriod_ms = 10_000;

/** Snapshot, then changes; or from a bookmark on, without a snapshot. Nothing between two steps is missed; an item may come twice. */
export async function* watch<Row extends Changing, Item>(
  source: WatchSource<Row, Item>,
  bookmark: string,
  signal: AbortSignal,
): AsyncIterable<WatchStep<Item>> {
  const { from, batches } = await source.feed.subscribe(signal);
  const horizon = await getHorizon(source.sql);
  const marked = (position: string) => toBookmark(source.storeEpoch, position);
  if (bookmark === "") {
    for await (const rows of source.snapshot())
      yield { items: await source.present(rows), bookmark: "", snapshotComplete: false };
    yield { items: [], bookmark: marked(from), snapshotComplete: true };
  } else {
    const start = fromBookmark(bookmark, source.storeEpoch, horizon);
    yield {
      items: await source.present(await source.changes(start)),
      bookmark: marked(from),
      snapshotComplete: false,
    };
  }
  let marked_ms = performance.now();
  for await (const batch of batches) {
    const items = await source.present(batch.rows);
    if (items.length === 0 && performance.now() - marked_ms > bareBookmarkPeriod_ms) {
      marked_ms = performance.now();
      yield { items, bookmark: marked(batch.horizon), snapshotComplete: false };
    }
    for (let start = 0; start < items.length; start += itemLimit) {
      const last = start + itemLimit >= items.length;
      yield {
        items: items.slice(start, start + itemLimit),
        bookmark: last ? marked(batch.horizon) : "",
        snapshotComplete: false,
      };
    }
  }
}
