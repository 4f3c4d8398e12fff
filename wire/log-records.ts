/**
 * Log chunks as they travel from a runner to the server and as they are kept.
 *
 * A chunk is `count` consecutive lines from `firstLine`; its `data` is one zstd frame over
 *
 *     version (1 byte, 1) · base time (varint, ms since 1970) · records
 *     record: header (1 byte) · time delta (varint, ms since the record before) · length (varint) · bytes
 *     header: bits 0-1 stream (1 stdout, 2 stderr, 3 system) · bit 2 continued · bit 3 gap · others zero
 *
 * `continued` says that the line goes on in the next record of the same stream. The bytes of a gap are two varints,
 * lines and bytes that were dropped; a gap consumes as many line numbers as it has lines, every other record one.
 */
import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { ByteReader, ByteReaderError, ByteWriter } from "./bytes.ts";

/** Longest line of one record; a longer one travels in pieces. This and the following are the bounds of the format (I9). */
export const maximumLineBytes = 64 * 1024;
/** Largest payload of one chunk, decompressed. */
export const maximumChunkBytes = 1024 * 1024;
/** Largest compressed payload of one chunk: what zstd makes of incompressible bytes, with room. */
export const maximumChunkDataBytes = maximumChunkBytes + 64 * 1024;
/** Most records in one chunk. */
const maximumChunkRecords = 64 * 1024;
/** The highest line number there is. */
const maximumLine = Number.MAX_SAFE_INTEGER;

/** Most bytes that a record adds to its line: header, time delta, length. */
const recordOverheadBytes = 1 + 8 + 3;
const payloadHeaderBytes = 1 + 8;
const formatVersion = 1;
const latestTimeMs = 8_640_000_000_000_000;
const windowLogMax = 21;
const continuedBit = 4;
const gapBit = 8;

const streams = ["stdout", "stderr", "system"] as const;
export type LogStream = (typeof streams)[number];

/** One piece of output, or a gap where output was dropped. `time` is in ms since 1970. */
export type LogRecord =
  | { kind: "line"; time: number; stream: LogStream; continued: boolean; bytes: Uint8Array }
  | { kind: "gap"; time: number; stream: LogStream; droppedLines: number; droppedBytes: number };

/** A record with the number of its (first) line. */
export type NumberedRecord = LogRecord & { line: number };

/** `size` is the payload's length decompressed; `data` the zstd frame. */
export type LogChunk = { firstLine: number; count: number; size: number; data: Uint8Array };

/** The one error of this format; the text says which rule was broken. */
export class LogFormatError extends Error {
  override name = "LogFormatError";
}

/** A line number from the wire (int64), refused when negative or above 2^53-1. */
export function lineNumber(value: bigint | number): number {
  const line = Number(value);
  if (!Number.isSafeInteger(line) || line < 0) {
    throw new LogFormatError(`line number ${value} is outside 0 to ${maximumLine}`);
  }
  return line;
}

/** How many line numbers a record consumes. */
export function lineCount(record: LogRecord): number {
  return record.kind === "gap" ? record.droppedLines : 1;
}

/** The stream's number in the format. */
export function streamNumber(stream: LogStream): number {
  return streams.indexOf(stream) + 1;
}

/** The stream of a number, or `undefined` for a number that has none. */
export function streamOf(number: number): LogStream | undefined {
  return streams[number - 1];
}

/** Collects records into one chunk as long as they fit. */
export class ChunkBuilder {
  readonly #maximumBytes: number;
  readonly #writer = new ByteWriter(16 * 1024);
  #records = 0;
  #count = 0;
  #time = 0;

  /** `maximumBytes` bounds the decompressed payload; one record of the longest line always fits. */
  constructor(maximumBytes = maximumChunkBytes) {
    const least = payloadHeaderBytes + recordOverheadBytes + maximumLineBytes;
    this.#maximumBytes = Math.min(Math.max(maximumBytes, least), maximumChunkBytes);
  }

  get count(): number {
    return this.#count;
  }

  /** Adds the record, or returns false when it no longer fits. A time before the last record's counts as the last's. */
  add(record: LogRecord): boolean {
    const length = record.kind === "line" ? record.bytes.length : 16;
    if (length > maximumLineBytes) {
      throw new LogFormatError(`line of ${length} bytes is above ${maximumLineBytes}`);
    }
    if (this.#records === 0) this.#begin(record.time);
    if (this.#records >= maximumChunkRecords) return false;
    if (this.#writer.length + recordOverheadBytes + length > this.#maximumBytes) return false;
    const time = Math.min(Math.max(this.#time, Math.trunc(record.time)), latestTimeMs);
    this.#write(record, time - this.#time);
    this.#time = time;
    this.#records += 1;
    this.#count += lineCount(record);
    return true;
  }

  /** The chunk of everything added, numbered from `firstLine`; the builder is empty again. */
  build(firstLine: number): LogChunk {
    if (this.#records === 0) throw new LogFormatError("chunk has no records");
    const payload = this.#writer.take();
    const data = zstdCompressSync(payload, { params: { [constants.ZSTD_c_compressionLevel]: 1 } });
    const chunk = { firstLine: lineNumber(firstLine), count: this.#count, size: payload.length, data };
    lineNumber(firstLine + this.#count);
    this.#records = 0;
    this.#count = 0;
    return chunk;
  }

  #begin(time: number): void {
    this.#time = Math.min(Math.max(0, Math.trunc(time)), latestTimeMs);
    this.#writer.byte(formatVersion);
    this.#writer.varint(this.#time);
  }

  #write(record: LogRecord, delta: number): void {
    const writer = this.#writer;
    if (record.kind === "line") {
      writer.byte(streamNumber(record.stream) | (record.continued ? continuedBit : 0));
      writer.varint(delta);
      writer.varint(record.bytes.length);
      writer.bytes(record.bytes);
      return;
    }
    const dropped = new ByteWriter(16);
    dropped.varint(record.droppedLines);
    dropped.varint(record.droppedBytes);
    writer.byte(streamNumber(record.stream) | gapBit);
    writer.varint(delta);
    writer.varint(dropped.length);
    writer.bytes(dropped.take());
  }
}

/** One chunk of all `records`; throws when they do not fit into one. */
export function encodeChunk(firstLine: number, records: Iterable<LogRecord>): LogChunk {
  const builder = new ChunkBuilder();
  for (const record of records) {
    if (!builder.add(record))
      throw new LogFormatError(`records are above ${maximumChunkBytes} bytes or ${maximumChunkRecords}`);
  }
  return builder.build(firstLine);
}

/** The records of a chunk, after every bound and count was checked. Their bytes are views of one buffer. */
export function decodeChunk(chunk: LogChunk): NumberedRecord[] {
  const records: NumberedRecord[] = [];
  walk(chunk, (record) => records.push(record));
  return records;
}

/** Checks everything that `decodeChunk` checks without making records. */
export function verifyChunk(chunk: LogChunk): void {
  walk(chunk, undefined);
}

function walk(chunk: LogChunk, visit: ((record: NumberedRecord) => void) | undefined): void {
  const end = checkDeclared(chunk);
  const reader = new ByteReader(decompress(chunk));
  try {
    const line = walkPayload(reader, chunk.firstLine, visit);
    if (line !== end) {
      throw new LogFormatError(
        `chunk at line ${chunk.firstLine} holds ${line - chunk.firstLine} lines but declares ${chunk.count}`,
      );
    }
  } catch (error) {
    if (!(error instanceof ByteReaderError)) throw error;
    throw new LogFormatError(`chunk at line ${chunk.firstLine}: ${error.message}`, { cause: error });
  }
}

/** The line after the chunk, once what it declares is within bounds. */
function checkDeclared(chunk: LogChunk): number {
  lineNumber(chunk.firstLine);
  if (!Number.isSafeInteger(chunk.count) || chunk.count < 1) {
    throw new LogFormatError(`chunk declares ${chunk.count} lines, at least 1 is needed`);
  }
  if (!Number.isSafeInteger(chunk.size) || chunk.size < 1 || chunk.size > maximumChunkBytes) {
    throw new LogFormatError(`chunk declares ${chunk.size} bytes, allowed are 1 to ${maximumChunkBytes}`);
  }
  if (chunk.data.length > maximumChunkDataBytes) {
    throw new LogFormatError(`chunk data of ${chunk.data.length} bytes is above ${maximumChunkDataBytes}`);
  }
  return lineNumber(chunk.firstLine + chunk.count);
}

function decompress(chunk: LogChunk): Buffer {
  const options = {
    maxOutputLength: chunk.size,
    chunkSize: Math.max(64, chunk.size),
    rejectGarbageAfterEnd: true,
    info: true,
    params: { [constants.ZSTD_d_windowLogMax]: windowLogMax },
  };
  let result: { buffer: Buffer; engine: { bytesWritten: number } };
  try {
    // With `info` the result is this record, which the type declarations do not know.
    result = zstdDecompressSync(chunk.data, options) as unknown as typeof result;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE") {
      throw new LogFormatError(`chunk decompresses to more than the ${chunk.size} bytes it declares`, { cause: error });
    }
    throw new LogFormatError("chunk data is not one whole zstd frame", { cause: error });
  }
  if (result.engine.bytesWritten !== chunk.data.length) {
    throw new LogFormatError("chunk data has bytes after its zstd frame");
  }
  if (result.buffer.length !== chunk.size) {
    throw new LogFormatError(`chunk decompresses to ${result.buffer.length} bytes but declares ${chunk.size}`);
  }
  return result.buffer;
}

function walkPayload(
  reader: ByteReader,
  firstLine: number,
  visit: ((record: NumberedRecord) => void) | undefined,
): number {
  const version = reader.byte();
  if (version !== formatVersion) throw new LogFormatError(`log format version ${version} is unknown`);
  let time = reader.varint();
  let line = firstLine;
  for (let records = 0; reader.remaining > 0; records++) {
    if (records === maximumChunkRecords) throw new LogFormatError(`chunk has more than ${maximumChunkRecords} records`);
    const header = reader.byte();
    time += reader.varint();
    const length = reader.varint();
    if (time > latestTimeMs) throw new LogFormatError("record time is beyond the year 275760");
    if (length > maximumLineBytes) throw new LogFormatError(`line of ${length} bytes is above ${maximumLineBytes}`);
    const stream = checkHeader(header);
    if ((header & gapBit) === 0) {
      if (visit === undefined) reader.skip(length);
      else
        visit({
          kind: "line",
          line,
          time,
          stream,
          continued: (header & continuedBit) !== 0,
          bytes: reader.bytes(length),
        });
      line += 1;
    } else {
      const gap = readGap(reader.bytes(length));
      visit?.({ kind: "gap", line, time, stream, ...gap });
      line += gap.droppedLines;
    }
  }
  return line;
}

function checkHeader(header: number): LogStream {
  const stream = streamOf(header & 3);
  if (stream === undefined || header >= gapBit + continuedBit)
    throw new LogFormatError(`record header ${header} is unknown`);
  return stream;
}

function readGap(bytes: Uint8Array): { droppedLines: number; droppedBytes: number } {
  const reader = new ByteReader(bytes);
  const droppedLines = reader.varint();
  const droppedBytes = reader.varint();
  if (reader.remaining > 0 || droppedLines < 1) throw new LogFormatError("gap is malformed");
  return { droppedLines, droppedBytes };
}
