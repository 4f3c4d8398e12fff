/**
 * A sealed part of a log as a blob: the data of its chunks one behind the other, then the table of chunks.
 *
 *     table: per chunk first line · count · size · length of the data (varints); crc32 of these (u32, big-endian)
 */
import { crc32 } from "node:zlib";
import { ByteReader, ByteWriter } from "../../../wire/bytes.ts";
import type { LogChunk } from "../../../wire/log-records.ts";
import type { Blobs } from "../blobs/blobs.ts";
import type { LogSegment } from "./segment-index.ts";

/** A chunk without its data, and where in the blob the data lies. */
export type SegmentChunk = Omit<LogChunk, "data"> & { offset: number; length: number };

/** What a chunk in the making of a segment must tell. */
export type ChunkSize = Omit<LogChunk, "data"> & { length: number };

/** How many tables of chunks are kept in memory. */
const maximumCachedTables = 64;

/** The table that ends a segment of these chunks. */
export function encodeTable(chunks: readonly ChunkSize[]): Buffer {
  const writer = new ByteWriter(16 * chunks.length + 16);
  for (const { firstLine, count, size, length } of chunks) {
    for (const value of [firstLine, count, size, length]) writer.varint(value);
  }
  const table = writer.take();
  const check = Buffer.alloc(4);
  check.writeUInt32BE(crc32(table));
  return Buffer.concat([table, check]);
}

function decodeTable(bytes: Uint8Array, blobKey: string): SegmentChunk[] {
  const table = bytes.subarray(0, -4);
  if (bytes.length < 4 || crc32(table) !== Buffer.from(bytes.subarray(-4)).readUInt32BE()) {
    throw new Error(`log segment ${blobKey} is damaged`);
  }
  const reader = new ByteReader(table);
  const chunks: SegmentChunk[] = [];
  for (let offset = 0; reader.remaining > 0;) {
    const numbers = { firstLine: reader.varint(), count: reader.varint(), size: reader.varint() };
    const length = reader.varint();
    chunks.push({ ...numbers, offset, length });
    offset += length;
  }
  return chunks;
}

/** Reads segments, keeping the tables of those read last. */
export type SegmentReader = {
  table(segment: LogSegment): Promise<readonly SegmentChunk[]>;
  /** The data of neighbouring chunks, by one read. */
  chunks(segment: LogSegment, wanted: readonly SegmentChunk[]): Promise<LogChunk[]>;
};

/** Keeps the tables of the segments that were read last. */
export function createSegmentReader(blobs: Blobs): SegmentReader {
  const tables = new Map<string, readonly SegmentChunk[]>();
  return {
    async table(segment) {
      const cached = tables.get(segment.blobKey);
      const range = { offset: segment.indexOffset, length: segment.sizeBytes - segment.indexOffset };
      const table = cached ?? decodeTable(await blobs.get(segment.blobKey, range), segment.blobKey);
      tables.delete(segment.blobKey);
      tables.set(segment.blobKey, table);
      for (const oldest of tables.keys()) {
        if (tables.size <= maximumCachedTables) break;
        tables.delete(oldest);
      }
      return table;
    },
    async chunks(segment, wanted) {
      const first = wanted[0];
      const last = wanted.at(-1);
      if (first === undefined || last === undefined) return [];
      const range = { offset: first.offset, length: last.offset + last.length - first.offset };
      const bytes = await blobs.get(segment.blobKey, range);
      if (bytes.length < range.length) throw new Error(`log segment ${segment.blobKey} is cut short`);
      return wanted.map(({ firstLine, count, size, offset, length }) => {
        const start = offset - first.offset;
        return { firstLine, count, size, data: bytes.subarray(start, start + length) };
      });
    },
  };
}
