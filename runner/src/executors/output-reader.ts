import { Buffer } from "node:buffer";
import {
  closeSync,
  constants,
  existsSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  statSync,
  watch,
  writeSync,
} from "node:fs";

import { ignoringCodes } from "../ignoring-codes.ts";
import type { OutputStream, Sink } from "./executor.ts";
import type { Mask, Masked } from "./mask.ts";
import { type OutputFiles, outputFiles } from "./output-files.ts";
import { openOutputMark, type OutputPiece, type OutputPosition, readOutputMark } from "./output-mark.ts";

/** Most bytes that are handed on at once. */
const pieceBytes = 64 * 1024;
/** How often it is looked for output although nothing was heard; oftener where the kernel has no watch to give. */
const lookAgainMs = 1000;
const lookOftenMs = 50;

/** Hands on both outputs of an execution, masked, from where an earlier process left off. */
export type OutputReader = {
  resume(): void;
  /**
   * Resolves when everything was handed on: what was written until the last writer was gone, or, where one stays for longer than
   * `patienceMs`, what is there then; answers which. Waits while the sink pauses.
   */
  drain(patienceMs: number): Promise<boolean>;
  close(): void;
};

/** Reads what the copiers of the execution in `directory` write, as it comes. What may begin a secret waits for what follows it. */
export function openOutputReader(directory: string, sink: Sink, mask: Mask): OutputReader {
  const streams = (["stdout", "stderr"] as const).map((stream) => follow(directory, stream, { sink, mask }));
  const wake = (): void => streams.forEach((stream) => stream.wake());
  const stopWatching = watchDirectory(outputFiles(directory, "stdout").directory, wake);
  wake();
  return {
    resume: () => streams.forEach((stream) => stream.resume()),
    async drain(patienceMs) {
      const ends = await Promise.all(streams.map((stream) => stream.drain(patienceMs)));
      return ends.every(Boolean);
    },
    close() {
      stopWatching();
      for (const stream of streams) stream.close();
    },
  };
}

function watchDirectory(directory: string, changed: () => void): () => void {
  let close = (): void => undefined;
  let napMs = lookOftenMs;
  try {
    const watcher = watch(directory, { persistent: false }, changed);
    watcher.on("error", () => undefined);
    close = () => watcher.close();
    napMs = lookAgainMs;
  } catch {
    // No watch is left, or the file system knows none.
  }
  const timer = setInterval(changed, napMs).unref();
  return () => {
    clearInterval(timer);
    close();
  };
}

function follow(directory: string, stream: OutputStream, { sink, mask }: { sink: Sink; mask: Mask }) {
  const files = outputFiles(directory, stream);
  const segments = openSegments(files, () => sink.position(stream));
  let turn: NodeJS.Immediate | undefined;
  let isPaused = false;
  let isDone = false;
  let isPatient = true;
  const { promise: done, resolve: finish } = Promise.withResolvers<boolean>();

  const look = (): void => {
    turn = undefined;
    if (isPaused || isDone) return;
    const { bytes, isFresh, isEnd } = segments.read();
    const isLast = !isFresh && (isEnd || !isPatient);
    if (isFresh || (isLast && bytes.length > 0)) {
      handOn(mask.apply(bytes, isLast));
      wake();
    } else if (isLast) {
      isDone = true;
      finish(isEnd);
    }
  };

  const handOn = ({ bytes, taken }: Masked): void => {
    if (taken > 0) segments.take(taken);
    if (bytes.length > 0) isPaused = sink.output(stream, bytes) === "pause";
  };

  /** One piece a turn, so that the outputs take turns and nobody else waits. */
  const wake = (): void => {
    turn ??= setImmediate(look);
  };

  return {
    wake,
    resume() {
      isPaused = false;
      wake();
    },
    async drain(patienceMs: number): Promise<boolean> {
      const timer = setTimeout(() => {
        isPatient = false;
        wake();
      }, patienceMs);
      wake();
      const isWhole = await done;
      clearTimeout(timer);
      return isWhole;
    },
    close() {
      isDone = true;
      clearImmediate(turn);
      segments.close();
    },
  };
}

/**
 * What there is from where the output was last taken; `isFresh`: more than the last time. At most `pieceBytes`.
 */
type Reading = { bytes: Buffer; isFresh: boolean; isEnd: boolean };

/** The segments of one output as one row of bytes; each is removed when it was taken. `positionOf`: where the sink stands. */
function openSegments(files: OutputFiles, positionOf: () => OutputPosition) {
  const mark = openOutputMark(files.mark);
  let { segment, offset, position } = whereToStart(files, positionOf());
  let file: number | undefined;
  let seenBytes = 0;

  const readAhead = (isLast: boolean): Buffer => {
    const buffer = Buffer.allocUnsafe(pieceBytes);
    file ??= openIfThere(files.segment(segment));
    const length = file === undefined ? 0 : readSync(file, buffer, 0, pieceBytes, offset);
    // A secret may lie across two segments.
    const more = isLast || length === pieceBytes ? 0 : readStart(files.segment(segment + 1), buffer.subarray(length));
    return buffer.subarray(0, length + more);
  };

  /** Of a segment that does not grow any more: what was taken of the next one with it is marked before it goes. */
  const leave = (size: number): void => {
    const taken = offset - size;
    if (taken > 0) mark.write({ segment: segment + 1, offset: 0, length: taken, position });
    if (file !== undefined) closeSync(file);
    file = undefined;
    rmSync(files.segment(segment), { force: true });
    makeKnown(files.room);
    segment += 1;
    offset = taken;
  };

  for (const number of numbersIn(files)) if (number < segment) rmSync(files.segment(number), { force: true });
  makeKnown(files.room);
  return {
    read(): Reading {
      for (;;) {
        const isEnd = existsSync(files.end);
        const isLast = !existsSync(files.segment(segment + 1));
        // Looked at after that: a segment that has a successor does not grow any more.
        const size = statSync(files.segment(segment), { throwIfNoEntry: false })?.size ?? offset;
        if (!isLast && offset >= size) {
          leave(size);
          continue;
        }
        const bytes = readAhead(isLast);
        const isFresh = bytes.length > seenBytes;
        seenBytes = bytes.length;
        return { bytes, isFresh, isEnd };
      }
    },
    /** So many bytes of what was read are handed on, after this. */
    take(length: number): void {
      position = positionOf();
      mark.write({ segment, offset, length, position });
      offset += length;
      seenBytes -= length;
    },
    close() {
      if (file !== undefined) closeSync(file);
      mark.close();
    },
  };
}

type Start = Pick<OutputPiece, "segment" | "offset" | "position">;

/** Behind the piece that was handed on last, or at it where the sink, which stands at `now`, did not get it. */
function whereToStart(files: OutputFiles, now: OutputPosition): Start {
  const there = numbersIn(files);
  const first = Math.min(...there);
  const marked = readOutputMark(files.mark);
  if (marked === undefined || marked.segment < first) {
    return { segment: there.length === 0 ? 1 : first, offset: 0, position: now };
  }
  const { segment, offset, length, position } = marked;
  const isTaken = now.line !== position.line || now.heldBytes !== position.heldBytes;
  return { segment, offset: isTaken ? offset + length : offset, position };
}

function numbersIn(files: OutputFiles): number[] {
  return readdirSync(files.directory).flatMap((name) => files.numberOf(name) ?? []);
}

/** Fills the buffer with the beginning of a file; answers with how much. */
function readStart(path: string, buffer: Buffer): number {
  const file = openIfThere(path);
  if (file === undefined) return 0;
  try {
    return readSync(file, buffer, 0, buffer.length, 0);
  } finally {
    closeSync(file);
  }
}

/** Says that there may be room. That nobody listens, or that enough was said, is no fault. */
function makeKnown(room: string): void {
  ignoringCodes(["ENXIO", "ENOENT", "EAGAIN"], () => {
    const pipe = openSync(room, constants.O_WRONLY | constants.O_NONBLOCK);
    try {
      writeSync(pipe, "\n");
    } finally {
      closeSync(pipe);
    }
  });
}

function openIfThere(path: string): number | undefined {
  return ignoringCodes(["ENOENT"], () => openSync(path, constants.O_RDONLY));
}
