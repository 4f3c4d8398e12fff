/** The segment files of one spool: found at opening, made when one is full, removed when free. */
import { closeSync, fstatSync, ftruncateSync, mkdirSync, openSync, readdirSync, unlinkSync, writeSync } from "node:fs";
import { join } from "node:path";
import { encodeHead, readHead, segmentHeadBytes, SegmentReader, type SegmentHead } from "./spool-segment.ts";

export type SpoolSegment = SegmentHead & { sequence: number; path: string; sizeBytes: number };

/** The spool's last segment, open for appending. */
export type ActiveSegment = { segment: SpoolSegment; file: number };

const fileName = /^(\d{8})\.seg$/;

/** The segments in a directory, in order; a file whose head is torn is removed, for nothing was acknowledged in it. */
export function findSegments(directory: string): SpoolSegment[] {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const segments: SpoolSegment[] = [];
  for (const name of readdirSync(directory).toSorted()) {
    const sequence = fileName.exec(name)?.[1];
    if (sequence === undefined) continue;
    const path = join(directory, name);
    const found = withFile(path, (file) => ({ head: readHead(file), sizeBytes: fstatSync(file).size }));
    if (found.head === undefined) unlinkSync(path);
    else segments.push({ ...found.head, sequence: Number(sequence), path, sizeBytes: found.sizeBytes });
  }
  return segments;
}

/** Makes the next segment file, beginning with `frames`; nothing of it is left when the disk is full. */
export function createSegment(directory: string, sequence: number, head: SegmentHead, frames: Buffer): ActiveSegment {
  const path = join(directory, `${String(sequence).padStart(8, "0")}.seg`);
  const file = openSync(path, "w", 0o600);
  const active = { file, segment: { ...head, sequence, path, sizeBytes: 0 } };
  try {
    writeWhole(active, Buffer.concat([encodeHead(head), frames]));
    return active;
  } catch (error) {
    closeSync(file);
    unlinkSync(path);
    throw error;
  }
}

/** Appends bytes to the segment, whole or not at all. */
export function writeWhole({ segment, file }: ActiveSegment, bytes: Uint8Array): void {
  let written = 0;
  try {
    while (written < bytes.length) {
      written += writeSync(file, bytes, written, bytes.length - written, segment.sizeBytes + written);
    }
  } catch (error) {
    ftruncateSync(file, segment.sizeBytes);
    throw error;
  }
  segment.sizeBytes += bytes.length;
}

/** Opens the last segment for appending: reads it through and cuts a torn end off. */
export function reopenSegment(segment: SpoolSegment): { active: ActiveSegment; read: SegmentReader } {
  const file = openSync(segment.path, "r+");
  const read = new SegmentReader(file, segment);
  while (read.next() !== undefined);
  ftruncateSync(file, read.offset);
  segment.sizeBytes = Math.max(read.offset, segmentHeadBytes);
  return { active: { segment, file }, read };
}

/** The number of the line after a segment, by reading it. */
export function readNextLine(segment: SpoolSegment): number {
  return withFile(segment.path, (file) => {
    const reader = new SegmentReader(file, segment);
    while (reader.next() !== undefined);
    return reader.line;
  });
}

function withFile<T>(path: string, use: (file: number) => T): T {
  const file = openSync(path, "r");
  try {
    return use(file);
  } finally {
    closeSync(file);
  }
}
