/** Messages on their way to one reader: bounded, handed out in batches. */
export interface Outbox<T> {
  /** Queues a message of about so many bytes; `false` where a bound is hit, and the reader is too slow to be served. */
  push(message: T, bytes?: number): boolean;
  /** Lets go of what waits. */
  clear(): void;
  /** What is queued ends with this; nothing is taken any more. */
  close(): void;
  /** Batches within their bounds, or of one message that is larger, until closed and empty. For one reader. */
  batches(): AsyncIterable<T[]>;
}

export type OutboxBounds = {
  /** What may wait. */
  messages: number;
  bytes: number;
  /** What is handed out at once. */
  batchMessages: number;
  batch_bytes: number;
};

/** What a message counts whose size is not told. */
const usual_bytes = 128;

/** An outbox for at most as many waiting messages and bytes. */
export function createOutbox<T>(bounds: OutboxBounds): Outbox<T> {
  let queue: { message: T; bytes: number }[] = [];
  let waiting_bytes = 0;
  let closed = false;
  let wake: (() => void) | undefined;
  return {
    push(message, bytes = usual_bytes) {
      if (closed) return true;
      if (queue.length >= bounds.messages || (queue.length > 0 && waiting_bytes + bytes > bounds.bytes)) return false;
      queue.push({ message, bytes });
      waiting_bytes += bytes;
      wake?.();
      return true;
    },
    clear() {
      queue = [];
      waiting_bytes = 0;
    },
    close() {
      closed = true;
      wake?.();
    },
    async *batches() {
      for (;;) {
        if (queue.length === 0) {
          if (closed) return;
          // Whoever pushes wakes this once it is done, so that what is pushed together goes out in one message, and at once.
          await new Promise<void>((resolve) => (wake = resolve));
          wake = undefined;
          continue;
        }
        const { length, bytes } = measureBatch(queue, bounds);
        const batch = queue.slice(0, length);
        queue = length === queue.length ? [] : queue.slice(length);
        waiting_bytes -= bytes;
        yield batch.map(({ message }) => message);
      }
    },
  };
}

/** How many messages make the next batch: at least one. */
function measureBatch(queue: readonly { bytes: number }[], { batchMessages, batch_bytes }: OutboxBounds) {
  let bytes = queue[0]!.bytes;
  let length = 1;
  for (; length < Math.min(queue.length, batchMessages); length += 1) {
    if (bytes + queue[length]!.bytes > batch_bytes) break;
    bytes += queue[length]!.bytes;
  }
  return { length, bytes };
}
