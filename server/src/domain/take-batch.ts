export type BatchBounds = {
  count: number;
  /** Unless one alone is larger. */
  bytes: number;
};

/** Takes from the front of a queue what goes together: at least one where there is one, and within the bounds (I9). */
export function takeBatch<T>(queue: T[], sizeOf_bytes: (one: T) => number, bounds: BatchBounds): T[] {
  let bytes = 0;
  let count = 0;
  for (const one of queue) {
    bytes += sizeOf_bytes(one);
    if (count === bounds.count || (count > 0 && bytes > bounds.bytes)) break;
    count += 1;
  }
  return queue.splice(0, count);
}
