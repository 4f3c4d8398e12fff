/**
 * One file of the journal: frames one behind the other.
 *
 *     frame: "agj1" · body length (u32) · crc32 of the body (u32) · body
 *     body: kind (1 byte: 1 chunk, 2 end, 3 delete) · workload id (varint length, UTF-8) · fence (u64)
 *           for a chunk: first line · count · size (varints) · data
 *
 * Integers are big-endian. Reading stops before the first frame that is not whole.
 */
import type { FileHandle } from "node:fs/promises";
import { crc32 } from "node:zlib";
import { ByteReader, ByteReaderError, ByteWriter } from "../../../wire/bytes.ts";
import { maximumChunkDataBytes, type LogChunk } from "../../../wire/log-records.ts";

const magic = Buffer.from("agj1", "latin1");
const headBytes = 12;
/** Longest workload id that the journal takes. */
export const maximumWorkloadIdBytes = 128;
const maximumBodyBytes = maximumChunkDataBytes + maximumWorkloadIdBytes + 64;

/** What the journal keeps. A delete is of every fence of its workload and carries fence 0. */
export type JournalEntry =
  | { kind: "chunk"; workloadId: string; fence: bigint; chunk: LogChunk }
  | { kind: "end"; workloadId: string; fence: bigint }
  | { kind: "delete"; workloadId: string; fence: bigint };

const kinds = ["chunk", "end", "delete"] as const;

/** An entry as it lies in the file, and where in those bytes a chunk's data begins. */
export type EncodedEntry = { bytes: Buffer; dataOffset: number };

/** As it is appended, with its head in front. */
export function encodeEntry(entry: JournalEntry): EncodedEntry {
  const body = new ByteWriter(256 + (entry.kind === "chunk" ? entry.chunk.data.length : 0));
  const id = Buffer.from(entry.workloadId);
  const fence = Buffer.alloc(8);
  fence.writeBigUInt64BE(entry.fence);
  body.bytes(Buffer.alloc(headBytes));
  body.byte(kinds.indexOf(entry.kind) + 1);
  body.varint(id.length);
  body.bytes(id);
  body.bytes(fence);
  if (entry.kind === "chunk") {
    body.varint(entry.chunk.firstLine);
    body.varint(entry.chunk.count);
    body.varint(entry.chunk.size);
  }
  const dataOffset = body.length;
  if (entry.kind === "chunk") body.bytes(entry.chunk.data);
  const bytes = body.take();
  magic.copy(bytes, 0);
  bytes.writeUInt32BE(bytes.length - headBytes, 4);
  bytes.writeUInt32BE(crc32(bytes.subarray(headBytes)), 8);
  return { bytes, dataOffset };
}

function decodeEntry(body: Uint8Array): { entry: JournalEntry; dataOffset: number } {
  const reader = new ByteReader(body);
  const kind = kinds[reader.byte() - 1];
  const workloadId = Buffer.from(reader.bytes(reader.varint())).toString();
  const fence = Buffer.from(reader.bytes(8)).readBigUInt64BE();
  if (kind === undefined) throw new ByteReaderError("journal entry kind is unknown");
  if (kind !== "chunk") return { entry: { kind, workloadId, fence }, dataOffset: body.length };
  const numbers = { firstLine: reader.varint(), count: reader.varint(), size: reader.varint() };
  const dataOffset = reader.offset;
  const chunk = { ...numbers, data: reader.bytes(reader.remaining) };
  return { entry: { kind, workloadId, fence, chunk }, dataOffset };
}

/** An entry of a file that was read back, where its frame ends, and where its data lies. */
export type FoundEntry = { entry: JournalEntry; endOffset: number; dataOffset: number };

/** Reads the whole entries of a file in order. */
export async function* readEntries(file: FileHandle): AsyncIterable<FoundEntry> {
  const blockBytes = 4 * (headBytes + maximumBodyBytes);
  let block = Buffer.alloc(0);
  let offset = 0;
  for (;;) {
    const frame = wholeFrame(block);
    if (frame !== undefined) {
      const { entry, dataOffset } = decodeEntry(frame);
      const start = offset + headBytes;
      offset = start + frame.length;
      block = block.subarray(headBytes + frame.length);
      yield { entry, endOffset: offset, dataOffset: start + dataOffset };
      continue;
    }
    if (block.length >= headBytes + maximumBodyBytes) return;
    const grown = Buffer.allocUnsafe(blockBytes);
    const { bytesRead } = await file.read(grown, 0, blockBytes, offset);
    if (bytesRead <= block.length) return;
    block = grown.subarray(0, bytesRead);
  }
}

function wholeFrame(block: Buffer): Buffer | undefined {
  if (block.length < headBytes || block.compare(magic, 0, 4, 0, 4) !== 0) return undefined;
  const length = block.readUInt32BE(4);
  if (length === 0 || length > maximumBodyBytes || block.length < headBytes + length) return undefined;
  const body = block.subarray(headBytes, headBytes + length);
  return crc32(body) === block.readUInt32BE(8) ? body : undefined;
}
