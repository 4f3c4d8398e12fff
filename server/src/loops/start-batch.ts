import { takeBatch } from "../domain/take-batch.ts";

const bounds = {
  /** Starts of one statement: few enough that of many callers some are answered while others are heard. */
  count: 64,
  /** Of their specs: a statement is a text, which has a largest length, and all in it wait for the whole. */
  bytes: 4 * 1024 * 1024,
};

/** Takes from the front of the queue what one statement starts (I9, I13). */
export function takeStarts<T extends { request: { workload: { spec: Uint8Array } } }>(queue: T[]): T[] {
  return takeBatch(queue, ({ request }) => request.workload.spec.length, bounds);
}
