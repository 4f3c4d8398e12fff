/** Where in a spool the sending stands. It reads on through the segments and turns what is missing into gaps. */
import { closeSync, openSync } from "node:fs";
import { lineCount, type LogRecord } from "../../wire/log-records.ts";
import type { SpoolSegment } from "./spool-files.ts";
import { SegmentReader, type SpooledLine } from "./spool-segment.ts";

/** Where the spool ends: the next line's number, the bytes before it, and when that was, in ms since 1970. */
export type SpoolPosition = { line: number; byte: number; time: number };

type Place = { segment: SpoolSegment; file: number; reader: SegmentReader; pending: SpooledLine | undefined };

export class SpoolCursor {
  readonly #segments: () => readonly SpoolSegment[];
  #place: Place | undefined;
  #line = 0;
  /** How many bytes of lines come before, where that is known. */
  #byte: number | undefined;

  constructor(segments: () => readonly SpoolSegment[]) {
    this.#segments = segments;
  }

  /** The next line to give out. */
  get line(): number {
    return this.#line;
  }

  /** The segment it reads, if it has begun one. */
  get segment(): SpoolSegment | undefined {
    return this.#place?.segment;
  }

  /** Stands before `line`. */
  seek(line: number): void {
    this.close();
    this.#line = line;
    this.#byte = line === 0 ? 0 : undefined;
  }

  /** The next record before `end`; what is not on disk is one gap. */
  peek(end: SpoolPosition): LogRecord | undefined {
    if (this.#line >= end.line) return undefined;
    const found = this.#nextLine();
    if (found !== undefined && found.line === this.#line) {
      return { kind: "line", time: found.time, stream: found.stream, continued: found.continued, bytes: found.bytes };
    }
    const next = found ?? end;
    const droppedBytes = this.#byte === undefined ? 0 : next.byte - this.#byte;
    return { kind: "gap", time: next.time, stream: "system", droppedLines: next.line - this.#line, droppedBytes };
  }

  /** Moves behind the record that `peek` gave. */
  advance(record: LogRecord): void {
    const passed = record.kind === "gap" ? record.droppedBytes : record.bytes.length;
    if (this.#byte !== undefined) this.#byte += passed;
    this.#line += lineCount(record);
  }

  /** Lets go of a segment that is removed; the place in the numbering stays. */
  release(segment: SpoolSegment): void {
    if (this.#place?.segment === segment) this.close();
  }

  close(): void {
    if (this.#place !== undefined) closeSync(this.#place.file);
    this.#place = undefined;
  }

  /** The first line on disk that is not before the cursor. */
  #nextLine(): SpooledLine | undefined {
    const segments = this.#segments();
    this.#place ??= this.#openAt(segments.findLastIndex(({ firstLine }) => firstLine <= this.#line));
    while (this.#place !== undefined) {
      const place: Place = this.#place;
      place.pending ??= place.reader.next();
      if (place.pending === undefined) {
        const following = segments.indexOf(place.segment) + 1;
        if (following >= segments.length) return undefined;
        this.close();
        this.#place = this.#openAt(following);
      } else if (place.pending.line < this.#line) {
        const { line, byte, bytes } = place.pending;
        if (line + 1 === this.#line) this.#byte = byte + bytes.length;
        place.pending = undefined;
      } else {
        return place.pending;
      }
    }
    return undefined;
  }

  #openAt(index: number): Place | undefined {
    const segment = this.#segments()[Math.max(0, index)];
    if (segment === undefined) return undefined;
    const file = openSync(segment.path, "r");
    if (segment.firstLine === this.#line) this.#byte = segment.firstByte;
    return { segment, file, reader: new SegmentReader(file, segment), pending: undefined };
  }
}
