/** Messages on their way to one reader: bounded, handed out in batches. */
export interface Outbox<T> {
  /** Queues a message; `false` where the bound is hit, and the reader is too slow to be served. */
  push(message: T): boolean;
  /** What is queued ends with this; nothing is taken any more. */
  close(): void;
  /** Batches of at most `batchLimit` messages, until closed and empty. For one reader. */
  batches(): AsyncIterable<T[]>;
}

/** An outbox for at most `limit` waiting messages. */
export function createOutbox<T>(limit: number, batchLimit: number): Outbox<T> {
  let queue: T[] = [];
  let closed = false;
  let wake: (() => void) | undefined;
  return {
    push(message) {
      if (closed) return true;
      if (queue.length >= limit) return false;
      queue.push(message);
      wake?.();
      return true;
    },
    close() {
      closed = true;
      wake?.();
    },
    async *batches() {
      for (;;) {
        if (queue.length === 0) {
          if (closed) return;
          await new Promise<void>((resolve) => (wake = resolve));
          wake = undefined;
          // What is pushed in the same turn goes out in one message.
          await new Promise<void>((resolve) => setImmediate(resolve));
          continue;
        }
        const batch = queue.length <= batchLimit ? queue : queue.slice(0, batchLimit);
        queue = queue.length <= batchLimit ? [] : queue.slice(batchLimit);
        yield batch;
      }
    },
  };
}
