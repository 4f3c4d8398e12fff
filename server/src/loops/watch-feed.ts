import type { Logger } from "pino";
import { AgynError } from "../domain/errors.ts";
import { createChangeReader, type ChangeBatch, type ChangeReader, type Changing } from "./change-reader.ts";
import { startLoop, type Loop } from "./driver.ts";

/** Changes of one kind of record, read once for all who watch on this replica. */
export interface WatchFeed<Row> {
  /** Batches of what changes from now on. What changed since `from` and is visible already may be left out. Ends with the signal. */
  subscribe(signal: AbortSignal): Promise<{ from: string; batches: AsyncIterable<ChangeBatch<Row>> }>;
  signal(): void;
  readonly loop: Loop;
}

export type WatchFeedOptions<Row> = {
  name: string;
  period_ms: number;
  log: Logger;
  getHorizon: () => Promise<string>;
  /** Rows changed by a transaction or a later one, as far as visible. */
  listChanged: (from: string) => Promise<readonly Row[]>;
  /** Rows of which something changed since the last call that the table does not hold. */
  listTouched?: () => Promise<readonly Row[]>;
};

/** Batches that wait for one watcher; beyond it the watcher is too slow and starts anew from its bookmark (I9, I13). */
const batchLimit = 256;

type Subscriber<Row> = { queue: ChangeBatch<Row>[]; wake: () => void; overrun: boolean };

/** A feed without subscribers; while there are none nothing is read. */
export function createWatchFeed<Row extends Changing>(options: WatchFeedOptions<Row>): WatchFeed<Row> {
  const subscribers = new Set<Subscriber<Row>>();
  let reader: ChangeReader<Row> | undefined;
  /** Until they are handed out, also where reading fails in between. */
  const touched = new Map<string, Row>();
  const poll = async () => {
    if (subscribers.size === 0) reader = undefined;
    if (!reader) return;
    const before = reader.cursor;
    for (const row of (await options.listTouched?.()) ?? []) touched.set(row.id, row);
    const { rows, horizon } = await reader.read();
    for (const row of rows) touched.set(row.id, row);
    const batch = { rows: [...touched.values()], horizon };
    touched.clear();
    if (batch.rows.length === 0 && batch.horizon === before) return;
    for (const one of subscribers) {
      if (one.queue.length >= batchLimit) one.overrun = true;
      else one.queue.push(batch);
      one.wake();
    }
  };
  const loop = startLoop({ name: options.name, period_ms: options.period_ms, log: options.log, run: poll });
  return {
    loop,
    signal: () => loop.signal(),
    async subscribe(signal) {
      const subscriber: Subscriber<Row> = { queue: [], wake: () => undefined, overrun: false };
      subscribers.add(subscriber);
      const leave = () => {
        subscribers.delete(subscriber);
        subscriber.wake();
      };
      signal.addEventListener("abort", leave, { once: true });
      if (signal.aborted) leave();
      if (!reader) {
        const horizon = await options.getHorizon();
        // Another watcher may have come meanwhile; its reader began no later than what this one will read.
        reader ??= createChangeReader(horizon, options.getHorizon, options.listChanged);
      }
      const from = reader.cursor;
      async function* batches(): AsyncIterable<ChangeBatch<Row>> {
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
