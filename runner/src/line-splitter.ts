import { maximumLineBytes } from "../../wire/log-records.ts";

/** How long an unterminated line waits for its end before it goes out as a piece. */
export const unterminatedLineMs = 500;

/** A line without its newline, or a piece of one: `continued` where the line goes on. `time` is of its first byte. */
export type LinePiece = { time: number; continued: boolean; bytes: Uint8Array };

/** What is held of a line that has not ended. */
export type OpenLine = { time: number; bytes: Uint8Array };

/**
 * Cuts the bytes of one stream into lines of at most 64 KiB. Bytes stay as they are: a carriage return before the
 * newline stays, and a code point may be cut between two pieces. Times are ms; they come from the caller.
 */
export class LineSplitter {
  #held = Buffer.alloc(0);
  #heldBytes = 0;
  #heldTime = 0;

  /** What is held now, `undefined` between lines. The bytes are a view, good until the next call. */
  get open(): OpenLine | undefined {
    if (this.#heldBytes === 0) return undefined;
    return { time: this.#heldTime, bytes: this.#held.subarray(0, this.#heldBytes) };
  }

  /** How many bytes are held now. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** When the held part is due to go out, `undefined` when nothing is held. */
  get dueTime(): number | undefined {
    return this.#heldBytes === 0 ? undefined : this.#heldTime + unterminatedLineMs;
  }

  /** Takes up again what another splitter held. */
  restore(open: OpenLine): void {
    this.#heldBytes = 0;
    this.#hold(open.bytes, open.time);
  }

  /** Takes bytes and returns the pieces that they complete; these may be views of `bytes`. */
  push(bytes: Uint8Array, now: number): LinePiece[] {
    const pieces: LinePiece[] = [];
    let start = 0;
    for (let newline = bytes.indexOf(10); newline >= 0; newline = bytes.indexOf(10, start)) {
      const rest = this.#cutLong(bytes.subarray(start, newline), now, pieces);
      pieces.push(this.#cut(rest, now, false));
      start = newline + 1;
    }
    this.#hold(this.#cutLong(bytes.subarray(start), now, pieces), now);
    return pieces;
  }

  /** The held part as a continued piece, when it has waited long enough. */
  flushDue(now: number): LinePiece[] {
    return this.dueTime !== undefined && now >= this.dueTime ? [this.#cut(nothing, now, true)] : [];
  }

  /** The held part as the last line: nothing more comes. */
  end(now: number): LinePiece[] {
    return this.#heldBytes > 0 ? [this.#cut(nothing, now, false)] : [];
  }

  /** Cuts full pieces off until what is held and the rest fit into one; returns the rest. */
  #cutLong(bytes: Uint8Array, now: number, pieces: LinePiece[]): Uint8Array {
    let rest = bytes;
    while (this.#heldBytes + rest.length > maximumLineBytes) {
      const fits = maximumLineBytes - this.#heldBytes;
      pieces.push(this.#cut(rest.subarray(0, fits), now, true));
      rest = rest.subarray(fits);
    }
    return rest;
  }

  #cut(rest: Uint8Array, now: number, continued: boolean): LinePiece {
    if (this.#heldBytes === 0) return { time: now, continued, bytes: rest };
    const bytes = Buffer.concat([this.#held.subarray(0, this.#heldBytes), rest]);
    this.#heldBytes = 0;
    return { time: this.#heldTime, continued, bytes };
  }

  #hold(bytes: Uint8Array, now: number): void {
    if (bytes.length === 0) return;
    if (this.#heldBytes === 0) this.#heldTime = now;
    const needed = this.#heldBytes + bytes.length;
    if (needed > this.#held.length) {
      const grown = Buffer.alloc(Math.min(Math.max(needed, 2 * this.#held.length), maximumLineBytes));
      this.#held.copy(grown, 0, 0, this.#heldBytes);
      this.#held = grown;
    }
    this.#held.set(bytes, this.#heldBytes);
    this.#heldBytes = needed;
  }
}

const nothing = new Uint8Array(0);
