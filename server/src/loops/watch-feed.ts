import type { Logger } from "pino";
import { AgynError } from "../domain/errors.ts";
import { startLoop, type Loop } from "./driver.ts";

/** A record as a feed follows it. */
export type Identified = { id: string };

/** Rows that changed; with them, everything from transactions before `horizon` has been seen. */
export type FeedBatch<Row> = { rows: readonly Row[]; horizon: string };

/** Changes of one kind of record, read once for all who watch on this replica. */
export interface WatchFeed<Row extends Identified> {
  /** Batches from `from` on; rows may repeat, none is missing. Ends with the signal. */
  subscribe(signal: AbortSignal): Promise<{ from: string; batches: AsyncIterable<FeedBatch<Row>> }>;
  signal(): void;
  readonly loop: Loop;
}

export type WatchFeedOptions<Row extends Identified> = {
  name: string;
  period_ms: number;
  log: Logger;
  horizon: () => Promise<string>;
  /** Rows changed by transactions from one on, as far as they are visible. */
  read: (from: string) => Promise<readonly (Row & { changeXid: string })[]>;
};

/** Batches that wait for one watcher; beyond it the watcher is too slow and starts anew from its bookmark (I9, I13). */
const batchLimit = 256;

type Subscriber<Row> = { queue: FeedBatch<Row>[]; wake: () => void; overrun: boolean };

export function createWatchFeed<Row extends Identified>(options: WatchFeedOptions<Row>): WatchFeed<Row> {
  const subscribers = new Set<Subscriber<Row>>();
  let cursor: string | undefined;
  /** Changes at or after the cursor that were handed on already: their transactions ended before an older one. */
  let ahead = new Set<string>();
  const poll = async () => {
    if (subscribers.size === 0) {
      cursor = undefined;
      ahead = new Set();
      return;
    }
    const horizon = await options.horizon();
    const changed = await options.read(cursor ?? horizon);
    const rows = changed.filter((row) => !ahead.has(nameOf(row)));
    ahead = new Set(changed.filter((row) => BigInt(row.changeXid) >= BigInt(horizon)).map(nameOf));
    const isMoved = cursor !== horizon;
    cursor = horizon;
    if (rows.length === 0 && !isMoved) return;
    for (const one of subscribers) {
      if (one.queue.length >= batchLimit) one.overrun = true;
      else one.queue.push({ rows, horizon });
      one.wake();
    }
  };
  const loop = startLoop({ name: options.name, period_ms: options.period_ms, log: options.log, run: poll });
  return {
    loop,
    signal: () => loop.signal(),
    async subscribe(signal) {
      const subscriber: Subscriber<Row> = { queue: [], wake: () => undefined, overrun: false };
      cursor ??= await options.horizon();
      const from = cursor;
      subscribers.add(subscriber);
      signal.addEventListener("abort", () => subscriber.wake(), { once: true });
      async function* batches(): AsyncIterable<FeedBatch<Row>> {
        try {
          while (!signal.aborted) {
            if (subscriber.overrun)
              throw new AgynError(
                "LIMIT",
                `the watcher reads too slowly: ${batchLimit} batches wait; watch again from the last bookmark`,
              );
            const batch = subscriber.queue.shift();
            if (batch) yield batch;
            else await new Promise<void>((resolve) => (subscriber.wake = resolve));
          }
        } finally {
          subscribers.delete(subscriber);
        }
      }
      return { from, batches: batches() };
    },
  };
}

function nameOf({ id, changeXid }: { id: string; changeXid: string }): string {
  return `${id} ${changeXid}`;
}
