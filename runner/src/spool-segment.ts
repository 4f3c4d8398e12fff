/**
 * One file of a spool. It stands alone: its head says the number of its first line and how many bytes of lines came
 * before it, and it begins with what was held of unterminated lines when it was begun.
 *
 *     head: "agynspl1" · first line (u64) · first byte (u64) · crc32 of these (u32)
 *     frame: body length (u32) · crc32 of the body (u32) · body
 *     body: time (varint, ms since 1970) · entries
 *     entry: header (1 byte) · length (varint) · bytes
 *     header: bits 0-1 stream (1 stdout, 2 stderr, 3 system) · bit 2 continued · bit 4 open · bit 5 end
 *
 * An open entry is part of a line; the next entry of its stream that is not open closes it. Integers are big-endian.
 */
import { readSync } from "node:fs";
import { crc32 } from "node:zlib";
import { ByteReader, ByteWriter } from "../../wire/bytes.ts";
import { streamNumber, streamOf, type LogStream } from "../../wire/log-records.ts";
import type { OpenLine } from "./line-splitter.ts";

/** Magic of 8 bytes, two numbers of 8, and a CRC-32. */
export const segmentHeadBytes = 28;
const magic = "agynspl1";
const frameHeadBytes = 8;
/** Most bytes of output in one frame. */
export const maximumFrameInputBytes = 64 * 1024;
/** A frame of nothing but newlines costs two bytes each, and may close a held line. */
const maximumBodyBytes = 4 * maximumFrameInputBytes;
const readBlockBytes = frameHeadBytes + maximumBodyBytes;

const continuedBit = 4;
const openBit = 16;
const endBit = 32;

export type SegmentHead = { firstLine: number; firstByte: number };

/** What one append leaves in the file. */
export type SpoolEntry =
  | { kind: "closed"; stream: LogStream; continued: boolean; bytes: Uint8Array }
  | { kind: "open"; stream: LogStream; bytes: Uint8Array }
  | { kind: "end" };

/** A whole line or piece, its number, and how many bytes of lines came before it. */
export type SpooledLine = {
  line: number;
  byte: number;
  time: number;
  stream: LogStream;
  continued: boolean;
  bytes: Uint8Array;
};

/** The bytes that a segment begins with. */
export function encodeHead(head: SegmentHead): Buffer {
  const bytes = Buffer.alloc(segmentHeadBytes);
  bytes.write(magic, 0, "latin1");
  bytes.writeBigUInt64BE(BigInt(head.firstLine), 8);
  bytes.writeBigUInt64BE(BigInt(head.firstByte), 16);
  bytes.writeUInt32BE(crc32(bytes.subarray(0, 24)), 24);
  return bytes;
}

/** The head of an open file, or `undefined` where it is torn or foreign. */
export function readHead(file: number): SegmentHead | undefined {
  const bytes = Buffer.alloc(segmentHeadBytes);
  if (readSync(file, bytes, 0, segmentHeadBytes, 0) < segmentHeadBytes) return undefined;
  if (bytes.toString("latin1", 0, 8) !== magic) return undefined;
  if (crc32(bytes.subarray(0, 24)) !== bytes.readUInt32BE(24)) return undefined;
  return { firstLine: Number(bytes.readBigUInt64BE(8)), firstByte: Number(bytes.readBigUInt64BE(16)) };
}

/** Length and CRC-32 of 4 bytes each, then the time in milliseconds since 1970 and the entries: one append, whole or torn. */
export function encodeFrame(time: number, entries: readonly SpoolEntry[]): Buffer {
  const body = new ByteWriter(1024);
  body.varint(Math.max(0, Math.trunc(time)));
  for (const entry of entries) writeEntry(body, entry);
  const bytes = body.take();
  const head = Buffer.alloc(frameHeadBytes);
  head.writeUInt32BE(bytes.length, 0);
  head.writeUInt32BE(crc32(bytes), 4);
  return Buffer.concat([head, bytes]);
}

function writeEntry(body: ByteWriter, entry: SpoolEntry): void {
  switch (entry.kind) {
    case "end":
      body.byte(endBit);
      body.varint(0);
      return;
    case "open":
      body.byte(streamNumber(entry.stream) | openBit);
      break;
    case "closed":
      body.byte(streamNumber(entry.stream) | (entry.continued ? continuedBit : 0));
      break;
  }
  body.varint(entry.bytes.length);
  body.bytes(entry.bytes);
}

/** Reads a segment's lines in order, also while it grows. It stops before a torn or damaged frame. */
export class SegmentReader {
  readonly #file: number;
  readonly #open = new Map<LogStream, { time: number; parts: Uint8Array[] }>();
  #block: Buffer = Buffer.alloc(0);
  #blockOffset = segmentHeadBytes;
  #offset = segmentHeadBytes;
  #body: { time: number; reader: ByteReader } | undefined;
  #line: number;
  #byte: number;
  #isEnded = false;

  constructor(file: number, head: SegmentHead) {
    this.#file = file;
    this.#line = head.firstLine;
    this.#byte = head.firstByte;
  }

  /** The number of the next line. */
  get line(): number {
    return this.#line;
  }

  /** How many bytes of lines come before the next line. */
  get byte(): number {
    return this.#byte;
  }

  /** Where the frames read so far end in the file. */
  get offset(): number {
    return this.#offset;
  }

  /** Whether the mark was read after which no line comes. */
  get isEnded(): boolean {
    return this.#isEnded;
  }

  /** What was read of lines that have not ended. */
  *openLines(): Iterable<OpenLine & { stream: LogStream }> {
    for (const [stream, { time, parts }] of this.#open) yield { stream, time, bytes: Buffer.concat(parts) };
  }

  /** The next line, `undefined` where there is none (yet). */
  next(): SpooledLine | undefined {
    for (;;) {
      while (this.#body !== undefined && this.#body.reader.remaining > 0) {
        const line = this.#readEntry(this.#body.time, this.#body.reader);
        if (line !== undefined) return line;
      }
      this.#body = this.#nextBody();
      if (this.#body === undefined) return undefined;
    }
  }

  #readEntry(time: number, reader: ByteReader): SpooledLine | undefined {
    const header = reader.byte();
    const bytes = reader.bytes(reader.varint());
    if ((header & endBit) !== 0) this.#isEnded = true;
    const stream = streamOf(header & 3);
    if (stream === undefined) return undefined;
    const open = this.#open.get(stream);
    if ((header & openBit) !== 0) {
      if (open === undefined) this.#open.set(stream, { time, parts: [bytes] });
      else open.parts.push(bytes);
      return undefined;
    }
    this.#open.delete(stream);
    const whole = open === undefined ? bytes : Buffer.concat([...open.parts, bytes]);
    const continued = (header & continuedBit) !== 0;
    const line = { line: this.#line, byte: this.#byte, time: open?.time ?? time, stream, continued, bytes: whole };
    this.#line += 1;
    this.#byte += whole.length;
    return line;
  }

  #nextBody(): { time: number; reader: ByteReader } | undefined {
    const bytes = this.#frameInBlock() ?? (this.#fillBlock() ? this.#frameInBlock() : undefined);
    if (bytes === undefined) return undefined;
    this.#offset += frameHeadBytes + bytes.length;
    const reader = new ByteReader(bytes);
    return { time: reader.varint(), reader };
  }

  #frameInBlock(): Buffer | undefined {
    const start = this.#offset - this.#blockOffset;
    if (this.#block.length < start + frameHeadBytes) return undefined;
    const length = this.#block.readUInt32BE(start);
    const body = this.#block.subarray(start + frameHeadBytes, start + frameHeadBytes + length);
    if (body.length < length || length === 0) return undefined;
    return crc32(body) === this.#block.readUInt32BE(start + 4) ? body : undefined;
  }

  #fillBlock(): boolean {
    const block = Buffer.allocUnsafe(readBlockBytes);
    const length = readSync(this.#file, block, 0, readBlockBytes, this.#offset);
    this.#block = block.subarray(0, length);
    this.#blockOffset = this.#offset;
    return length > 0;
  }
}
