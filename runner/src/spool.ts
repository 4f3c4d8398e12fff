/**
 * The spool keeps the output of one workload under one fence on disk until the server has it.
 *
 * 1. What `append` took survives the death of this process: it is written before `append` returns (not synced: a
 *    machine that dies takes its workload with it).
 * 2. Lines are numbered from 0 in the order in which they end, over all streams; a number never changes.
 * 3. A job never waits: past `maximumBytes` a segment in the middle goes, and so does output while the disk is full.
 *    What is missing shows as a gap of exactly as many lines.
 * 4. Space is freed by removing whole segments, once the server has acknowledged their last line.
 */
import { closeSync, rmSync, unlinkSync } from "node:fs";
import { ChunkBuilder, type LogChunk, type LogStream } from "../../wire/log-records.ts";
import { LineSplitter, type LinePiece } from "./line-splitter.ts";
import { SpoolCursor } from "./spool-cursor.ts";
import { createSegment, findSegments, readNextLine, reopenSegment, writeWhole } from "./spool-files.ts";
import type { ActiveSegment, SpoolSegment } from "./spool-files.ts";
import { encodeFrame, maximumFrameInputBytes, type SpoolEntry } from "./spool-segment.ts";

/** Bytes on disk of one workload's spool. */
export const defaultSpoolBytes = 64 * 1024 * 1024;
/** Bytes after which a segment file takes no further frame. */
export const defaultSegmentBytes = 1024 * 1024;

export type SpoolOptions = { directory: string; maximumBytes?: number; segmentBytes?: number };

/** Output came after the end. */
export class SpoolEndedError extends Error {
  override name = "SpoolEndedError";
}

/** Opens the spool in a directory of its own, with everything that an earlier process left there. */
export function openSpool(options: SpoolOptions): Spool {
  return new Spool(options);
}

export class Spool {
  readonly #directory: string;
  readonly #maximumBytes: number;
  readonly #segmentBytes: number;
  readonly #splitters = { stdout: new LineSplitter(), stderr: new LineSplitter(), system: new LineSplitter() };
  readonly #cursor: SpoolCursor;
  #segments: SpoolSegment[];
  /** Undefined before the first line, and while the disk is full: then lines are numbered, but not kept. */
  #active: ActiveSegment | undefined;
  #sequence = 0;
  #end = { line: 0, byte: 0, time: 0 };
  #isEnded = false;
  #acknowledgedLine = 0;

  constructor({ directory, maximumBytes = defaultSpoolBytes, segmentBytes = defaultSegmentBytes }: SpoolOptions) {
    this.#directory = directory;
    this.#maximumBytes = maximumBytes;
    this.#segmentBytes = Math.min(segmentBytes, Math.ceil(maximumBytes / 8));
    this.#segments = findSegments(directory);
    this.#cursor = new SpoolCursor(() => this.#segments);
    this.#resume();
  }

  /** The number that the next line gets. */
  get nextLine(): number {
    return this.#end.line;
  }

  /** Bytes of a stream's line that has not ended. */
  heldBytes(stream: LogStream): number {
    return this.#splitters[stream].heldBytes;
  }

  /** The first line that the server is not known to have. */
  get acknowledgedLine(): number {
    return this.#acknowledgedLine;
  }

  /** Whether `end` was called, by this process or an earlier one. */
  get isEnded(): boolean {
    return this.#isEnded;
  }

  /** Whether the output has ended and the server has all of it. */
  get isDrained(): boolean {
    return this.#isEnded && this.#acknowledgedLine >= this.#end.line;
  }

  /** Whether `nextChunk` has something to give. */
  get hasUnsent(): boolean {
    return this.#cursor.line < this.#end.line;
  }

  /** Bytes on disk. */
  get sizeBytes(): number {
    return this.#segments.reduce((sum, segment) => sum + segment.sizeBytes, 0);
  }

  /** When `flush` next has something to do, `undefined` when no line is open. Same clock as `append`. */
  get dueTime(): number | undefined {
    const times = Object.values(this.#splitters).flatMap(({ dueTime }) => dueTime ?? []);
    return times.length === 0 ? undefined : Math.min(...times);
  }

  /** Takes output as it came, at `now` in ms since 1970; it is written when this returns. A full disk gives a gap. */
  append(stream: LogStream, bytes: Uint8Array, now: number): void {
    if (this.#isEnded) throw new SpoolEndedError(`spool ${this.#directory} has ended at line ${this.#end.line}`);
    for (let start = 0; start < bytes.length; start += maximumFrameInputBytes) {
      const input = bytes.subarray(start, start + maximumFrameInputBytes);
      this.#write(stream, now, (splitter) => splitter.push(input, now));
    }
  }

  /** Gives out, as continued pieces, lines that have been open for 500 ms. */
  flush(now: number): void {
    for (const stream of streams) {
      const { dueTime } = this.#splitters[stream];
      if (dueTime !== undefined && dueTime <= now) this.#write(stream, now, (splitter) => splitter.flushDue(now));
    }
  }

  /** Ends the output: open lines are closed and nothing more is taken. */
  end(now: number): void {
    if (this.#isEnded) return;
    for (const stream of streams) this.#write(stream, now, (splitter) => splitter.end(now));
    this.#makeRoom();
    this.#writeFrame(now, [{ kind: "end" }]);
    this.#isEnded = true;
  }

  /** The next lines to send, of at most `maximumBytes` decompressed; `undefined` when all were given out. */
  nextChunk(maximumBytes: number): LogChunk | undefined {
    const builder = new ChunkBuilder(maximumBytes);
    const firstLine = this.#cursor.line;
    for (let record = this.#cursor.peek(this.#end); record !== undefined; record = this.#cursor.peek(this.#end)) {
      if (!builder.add(record)) break;
      this.#cursor.advance(record);
    }
    return builder.count === 0 ? undefined : builder.build(firstLine);
  }

  /** The server durably has every line before `line`; segments that hold nothing else are removed. */
  acknowledge(line: number): void {
    this.#acknowledgedLine = Math.min(Math.max(this.#acknowledgedLine, line), this.#end.line);
    while (this.#segments.length > 1 && this.#lineAfterFirst() <= this.#acknowledgedLine) this.#remove(0);
    if (this.#cursor.line < this.#acknowledgedLine) this.#cursor.seek(this.#acknowledgedLine);
  }

  /**
   * Gives out next what the server asks for: `line` is the first that it does not have. A line below what is kept
   * gives a gap; one above every line (a machine that died lost what the server already had) moves the numbering there.
   */
  rewindTo(line: number): void {
    if (line > this.#end.line) {
      this.#closeActive();
      this.#end.line = line;
    }
    this.acknowledge(line);
    this.#cursor.seek(line);
  }

  /** Closes the files; what is spooled stays for the next opening. */
  close(): void {
    this.#closeActive();
    this.#cursor.close();
  }

  /** Closes the spool and removes its directory. */
  remove(): void {
    this.close();
    this.#segments = [];
    rmSync(this.#directory, { recursive: true, force: true });
  }

  #resume(): void {
    const first = this.#segments[0];
    const last = this.#segments.at(-1);
    if (first === undefined || last === undefined) return;
    const { active, read } = reopenSegment(last);
    this.#active = active;
    this.#sequence = last.sequence;
    this.#end = { line: read.line, byte: read.byte, time: 0 };
    this.#isEnded = read.isEnded;
    for (const open of read.openLines()) this.#splitters[open.stream].restore(open);
    this.#acknowledgedLine = first.firstLine;
    this.#cursor.seek(first.firstLine);
  }

  /** Splits, writes the pieces and what stays open as one frame, and counts the lines, kept or not. */
  #write(stream: LogStream, now: number, split: (splitter: LineSplitter) => LinePiece[]): void {
    const splitter = this.#splitters[stream];
    this.#makeRoom();
    const heldBytes = splitter.open?.bytes.length ?? 0;
    const pieces = split(splitter);
    this.#writeFrame(now, entriesOf(stream, pieces, splitter.open?.bytes, heldBytes));
    this.#end.line += pieces.length;
    for (const piece of pieces) this.#end.byte += piece.bytes.length;
    this.#end.time = now;
  }

  #writeFrame(now: number, entries: readonly SpoolEntry[]): void {
    if (this.#active === undefined || entries.length === 0) return;
    try {
      writeWhole(this.#active, encodeFrame(now, entries));
    } catch (error) {
      refuseUnlessFull(error);
      this.#closeActive();
    }
  }

  /** Sees that there is a segment to write to, a new one when the last is full or was given up. */
  #makeRoom(): void {
    if (this.#active !== undefined && this.#active.segment.sizeBytes < this.#segmentBytes) return;
    this.#closeActive();
    try {
      const head = { firstLine: this.#end.line, firstByte: this.#end.byte };
      const active = createSegment(this.#directory, this.#sequence + 1, head, this.#openFrames());
      this.#sequence += 1;
      this.#active = active;
      this.#segments.push(active.segment);
    } catch (error) {
      refuseUnlessFull(error);
    }
    while (this.sizeBytes > this.#maximumBytes && this.#segments.length > 2) this.#remove(this.#middle());
  }

  #openFrames(): Buffer {
    const frames = streams.flatMap((stream) => {
      const open = this.#splitters[stream].open;
      return open === undefined ? [] : [encodeFrame(open.time, [{ kind: "open", stream, bytes: open.bytes }])];
    });
    return Buffer.concat(frames);
  }

  /** The segment to give up: in the middle, and where possible ahead of what is being sent. Never the first or last. */
  #middle(): number {
    const half = Math.floor(this.#segments.length / 2);
    const ahead = this.#segments.findIndex((segment) => segment === this.#cursor.segment) + 1;
    return ahead < this.#segments.length - 1 ? Math.max(half, ahead) : half;
  }

  #remove(index: number): void {
    for (const segment of this.#segments.splice(index, 1)) {
      this.#cursor.release(segment);
      unlinkSync(segment.path);
    }
  }

  /** The number after the first segment's last line (or after a gap that follows it). */
  #lineAfterFirst(): number {
    const [first, second] = this.#segments as [SpoolSegment, SpoolSegment];
    return second.sequence === first.sequence + 1 ? second.firstLine : readNextLine(first);
  }

  #closeActive(): void {
    if (this.#active !== undefined) closeSync(this.#active.file);
    this.#active = undefined;
  }
}

const streams = ["stdout", "stderr", "system"] as const;

/** The pieces without the `heldBytes` of the first that are written already, and what stays open. */
function entriesOf(
  stream: LogStream,
  pieces: readonly LinePiece[],
  open: Uint8Array | undefined,
  heldBytes: number,
): SpoolEntry[] {
  const entries = pieces.map((piece, index): SpoolEntry => {
    const bytes = index === 0 ? piece.bytes.subarray(heldBytes) : piece.bytes;
    return { kind: "closed", stream, continued: piece.continued, bytes };
  });
  const rest = open?.subarray(pieces.length === 0 ? heldBytes : 0) ?? new Uint8Array(0);
  if (rest.length > 0) entries.push({ kind: "open", stream, bytes: rest });
  return entries;
}

function refuseUnlessFull(error: unknown): void {
  const { code } = error as NodeJS.ErrnoException;
  if (!["ENOSPC", "EDQUOT", "EFBIG", "EIO", "EMFILE", "ENFILE"].includes(code ?? "")) throw error;
}
