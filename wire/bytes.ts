/** A growing buffer of varints and bytes; `take` hands out what was written and starts anew. */
export class ByteWriter {
  #buffer: Buffer;
  #length = 0;

  constructor(capacityBytes = 4096) {
    this.#buffer = Buffer.allocUnsafe(capacityBytes);
  }

  get length(): number {
    return this.#length;
  }

  /** One byte. */
  byte(value: number): void {
    this.#reserve(1);
    this.#buffer[this.#length++] = value;
  }

  /** An unsigned LEB128 varint of a safe integer (at most 8 bytes). */
  varint(value: number): void {
    this.#reserve(8);
    let rest = value;
    while (rest >= 0x80) {
      this.#buffer[this.#length++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.#buffer[this.#length++] = rest;
  }

  bytes(value: Uint8Array): void {
    this.#reserve(value.length);
    this.#buffer.set(value, this.#length);
    this.#length += value.length;
  }

  /** What was written since the last `take`, as bytes of its own. */
  take(): Buffer {
    const taken = Buffer.from(this.#buffer.subarray(0, this.#length));
    this.#length = 0;
    return taken;
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#length + bytes));
    this.#buffer.copy(grown, 0, 0, this.#length);
    this.#buffer = grown;
  }
}

/** Bytes ended inside a value, or a varint is longer than a safe integer or not in its shortest form. */
export class ByteReaderError extends Error {
  override name = "ByteReaderError";
}

/** Reads varints and bytes in order and never beyond the end. */
export class ByteReader {
  readonly #source: Uint8Array;
  #offset = 0;

  constructor(source: Uint8Array) {
    this.#source = source;
  }

  get offset(): number {
    return this.#offset;
  }

  get remaining(): number {
    return this.#source.length - this.#offset;
  }

  byte(): number {
    const value = this.#source[this.#offset];
    if (value === undefined) throw new ByteReaderError("bytes end inside a value");
    this.#offset += 1;
    return value;
  }

  varint(): number {
    const first = this.#source[this.#offset];
    if (first !== undefined && first < 0x80) {
      this.#offset += 1;
      return first;
    }
    let value = 0;
    let scale = 1;
    for (let length = 1; length <= 8; length++) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (byte === 0 && length > 1) throw new ByteReaderError("varint is not in its shortest form");
        if (value > Number.MAX_SAFE_INTEGER) break;
        return value;
      }
      scale *= 0x80;
    }
    throw new ByteReaderError("varint is above 2^53-1");
  }

  /** Passes over the next `length` bytes. */
  skip(length: number): void {
    if (length > this.remaining) throw new ByteReaderError("bytes end inside a value");
    this.#offset += length;
  }

  /** The next `length` bytes, as a view of the source. */
  bytes(length: number): Uint8Array {
    if (length > this.remaining) throw new ByteReaderError("bytes end inside a value");
    const value = this.#source.subarray(this.#offset, this.#offset + length);
    this.#offset += length;
    return value;
  }
}
