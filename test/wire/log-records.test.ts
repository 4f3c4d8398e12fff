import fc from "fast-check";
import { randomBytes } from "node:crypto";
import { zstdCompressSync } from "node:zlib";
import { expect, test } from "vitest";
import {
  decodeChunk,
  encodeChunk,
  lineCount,
  lineNumber,
  LogFormatError,
  maximumChunkBytes,
  maximumLineBytes,
  verifyChunk,
  type LogChunk,
  type LogRecord,
} from "../../wire/log-records.ts";

const stream = fc.constantFrom("stdout" as const, "stderr" as const, "system" as const);
const line = fc.record({
  kind: fc.constant("line" as const),
  time: fc.nat(2 ** 40),
  stream,
  continued: fc.boolean(),
  bytes: fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
});
const gap = fc.record({
  kind: fc.constant("gap" as const),
  time: fc.nat(2 ** 40),
  stream,
  droppedLines: fc.integer({ min: 1, max: 2 ** 40 }),
  droppedBytes: fc.nat(2 ** 40),
});

/** A chunk that declares the truth about a payload of these bytes. */
function chunkOfPayload(payload: Uint8Array, declared: Partial<LogChunk> = {}): LogChunk {
  return { firstLine: 0, count: 1, size: payload.length, data: zstdCompressSync(payload), ...declared };
}

/** Version 1, base time 5, then one empty line of stdout. */
const smallest = Uint8Array.of(1, 5, 1, 0, 0);

test("records come back as they went in, each with its number", () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(line, gap), { minLength: 1, maxLength: 50 }), fc.nat(2 ** 40), (records, first) => {
      const sorted = records.toSorted((one, other) => one.time - other.time) as LogRecord[];
      let number = first;
      const expected = sorted.map((record) => {
        const numbered = { ...record, line: number };
        number += lineCount(record);
        return numbered;
      });

      const chunk = encodeChunk(first, sorted);

      verifyChunk(chunk);
      expect(decodeChunk(chunk)).toEqual(expected);
      expect(chunk.firstLine + chunk.count).toBe(number);
    }),
    { numRuns: 100 },
  );
});

test("a clock that steps back gives the last time again", () => {
  const [first, second] = [900, 400].map((time) => ({ ...lineAt(time) }));

  const times = decodeChunk(encodeChunk(0, [first!, second!])).map((record) => record.time);

  expect(times).toEqual([900, 900]);
});

test("a line of 64 KiB of noise passes and one byte more does not", () => {
  const noise = randomBytes(maximumLineBytes);

  expect(decodeChunk(encodeChunk(0, [{ ...lineAt(1), bytes: noise }]))).toHaveLength(1);
  expect(() => encodeChunk(0, [{ ...lineAt(1), bytes: Buffer.alloc(maximumLineBytes + 1) }])).toThrow(LogFormatError);
});

test.each([
  ["declares a line too many", chunkOfPayload(smallest, { count: 2 }), /holds 1 lines but declares 2/],
  ["declares no line", chunkOfPayload(smallest, { count: 0 }), /declares 0 lines/],
  ["declares a byte too many", chunkOfPayload(smallest, { size: 6 }), /decompresses to 5 bytes but declares 6/],
  ["declares a byte too few", chunkOfPayload(smallest, { size: 4 }), /more than the 4 bytes/],
  ["declares more than a chunk may have", chunkOfPayload(smallest, { size: maximumChunkBytes + 1 }), /allowed are/],
  ["begins before 0", chunkOfPayload(smallest, { firstLine: -1 }), /line number -1/],
  ["ends beyond the last number", chunkOfPayload(smallest, { firstLine: 2 ** 53 - 1 }), /line number/],
  ["is no zstd", chunkOfPayload(smallest, { data: Buffer.from("hello") }), /zstd frame/],
  ["is empty", chunkOfPayload(smallest, { data: Buffer.alloc(0) }), /zstd frame/],
  ["has bytes after its frame", withTrailing(chunkOfPayload(smallest)), /zstd frame/],
  ["has an unknown version", chunkOfPayload(Uint8Array.of(2, 5, 1, 0, 0)), /version 2/],
  ["has an unknown stream", chunkOfPayload(Uint8Array.of(1, 5, 0, 0, 0)), /header 0/],
  ["has unknown flags", chunkOfPayload(Uint8Array.of(1, 5, 17, 0, 0)), /header 17/],
  ["has a record that ends early", chunkOfPayload(Uint8Array.of(1, 5, 1, 0, 9)), /end inside a value/],
  ["has a line that is too long", chunkOfPayload(Uint8Array.of(1, 5, 1, 0, 0x81, 0x80, 4)), /line of 65537 bytes/],
  ["has a gap of no lines", chunkOfPayload(Uint8Array.of(1, 5, 9, 0, 2, 0, 0)), /gap is malformed/],
  ["has a varint of nine bytes", chunkOfPayload(Uint8Array.of(1, ...Array(9).fill(0xff), 1)), /varint/],
  ["has a padded varint", chunkOfPayload(Uint8Array.of(1, 0x85, 0, 1, 0, 0)), /shortest form/],
])("bad-13: a chunk that %s is refused", (_, chunk, message) => {
  expect(() => verifyChunk(chunk)).toThrow(message);
  expect(() => decodeChunk(chunk)).toThrow(LogFormatError);
});

test("a bomb is refused without being inflated", () => {
  const bomb = zstdCompressSync(Buffer.alloc(64 * 1024 * 1024));
  const before = process.memoryUsage().arrayBuffers;

  expect(() => verifyChunk({ firstLine: 0, count: 1, size: maximumChunkBytes, data: bomb })).toThrow(/more than the/);

  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(8 * 1024 * 1024);
});

test("random bytes never end in anything but the format's own error", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 64 }), (payload) => {
      try {
        decodeChunk(chunkOfPayload(Uint8Array.of(1, ...payload)));
      } catch (error) {
        expect(error).toBeInstanceOf(LogFormatError);
      }
    }),
    { numRuns: 500 },
  );
});

test.each([-1n, 2n ** 53n, 2n ** 63n, -(2n ** 63n), 1.5, NaN])("bad-13: %s is no line number", (value) => {
  expect(() => lineNumber(value)).toThrow(LogFormatError);
});

function lineAt(time: number): LogRecord & { kind: "line" } {
  return { kind: "line", time, stream: "stdout", continued: false, bytes: Buffer.from("x") };
}

function withTrailing(chunk: LogChunk): LogChunk {
  return { ...chunk, data: Buffer.concat([chunk.data, Buffer.from("more")]) };
}
