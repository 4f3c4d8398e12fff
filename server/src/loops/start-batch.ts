/** Starts of one statement: few enough that of many callers some are answered while others are heard. */
const startLimit = 64;
/** Bytes of their specs, unless one alone is larger: a statement is a text, which has a largest length, and all in it wait for the whole. */
const start_bytes = 4 * 1024 * 1024;

/** Takes from the front of the queue what one statement starts: at least one (I9, I13). */
export function takeStarts<T extends { request: { workload: { spec: Uint8Array } } }>(queue: T[]): T[] {
  let bytes = 0;
  let count = 0;
  for (const { request } of queue) {
    bytes += request.workload.spec.length;
    if (count === startLimit || (count > 0 && bytes > start_bytes)) break;
    count += 1;
  }
  return queue.splice(0, count);
}
