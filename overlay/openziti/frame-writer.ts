import type { Writable } from "node:stream";

/** How much is gathered before it is written. */
const batch_bytes = 128 * 1024;
/** Buffers that are kept for the next batches: one is filled while another is under way. */
const maxSpare = 2;

/**
 * Writes frames, those of one turn of the event loop together. They are built where they are written from, in buffers
 * that are used again: a new one for each frame keeps the garbage collector as busy as encryption does the processor.
 */
export class FrameWriter {
  readonly #out: Writable;
  readonly #spare: Buffer[] = [];
  #batch: Buffer | undefined;
  #used_bytes = 0;
  #flushing = false;

  constructor(out: Writable) {
    this.#out = out;
  }

  /** What is not written yet, in bytes. */
  get waiting_bytes(): number {
    return this.#out.writableLength + this.#used_bytes;
  }

  /** Room for a frame of this length, to be filled before this turn ends. It goes nowhere when `out` is gone. */
  open(length: number): Buffer {
    if (this.#batch !== undefined && this.#used_bytes + length > this.#batch.length) this.flush();
    this.#batch ??= length > batch_bytes ? Buffer.allocUnsafeSlow(length) : this.#nextBatch();
    const start = this.#used_bytes;
    this.#used_bytes += length;
    this.#flushSoon();
    return this.#batch.subarray(start, this.#used_bytes);
  }

  /** Writes what was opened, without waiting for the end of the turn. */
  flush(): void {
    const [batch, used_bytes] = [this.#batch, this.#used_bytes];
    this.#batch = undefined;
    this.#used_bytes = 0;
    if (batch === undefined || !this.#out.writable) return;
    this.#out.write(batch.subarray(0, used_bytes), () => {
      if (batch.length === batch_bytes && this.#spare.length < maxSpare) this.#spare.push(batch);
    });
  }

  #nextBatch(): Buffer {
    return this.#spare.pop() ?? Buffer.allocUnsafeSlow(batch_bytes);
  }

  #flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    process.nextTick(() => {
      this.#flushing = false;
      this.flush();
    });
  }
}
