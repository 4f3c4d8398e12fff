import { Buffer } from "node:buffer";
import { closeSync, constants, existsSync, openSync, readdirSync, readSync, rmSync, watch, writeSync } from "node:fs";

import { ignoringCodes } from "./durable-file.ts";
import type { OutputStream, Sink } from "./executor.ts";
import { type OutputFiles, outputFiles } from "./output-files.ts";
import { openOutputMark, readOutputMark } from "./output-mark.ts";

/** Most bytes that are handed on at once. */
const pieceBytes = 64 * 1024;
/** How often it is looked for output although nothing was heard; oftener where the kernel has no watch to give. */
const lookAgainMs = 1000;
const lookOftenMs = 50;

/** Hands on both outputs of an execution, from where an earlier process left off. */
export type OutputReader = {
  resume(): void;
  /**
   * Resolves when everything was handed on: what was written until the last writer was gone, or, where one stays for longer than
   * `patienceMs`, what is there then; answers which. Waits while the sink pauses.
   */
  drain(patienceMs: number): Promise<boolean>;
  close(): void;
};

/** Reads what the copiers of the execution in `directory` write, as it comes. */
export function openOutputReader(directory: string, sink: Sink): OutputReader {
  const streams = (["stdout", "stderr"] as const).map((stream) => follow(outputFiles(directory, stream), stream, sink));
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

function follow(files: OutputFiles, stream: OutputStream, sink: Sink) {
  const segments = openSegments(files, stream, sink);
  const mark = openOutputMark(files.mark);
  let turn: NodeJS.Immediate | undefined;
  let isPaused = false;
  let isDone = false;
  let isPatient = true;
  const { promise: done, resolve: finish } = Promise.withResolvers<boolean>();

  const look = (): void => {
    turn = undefined;
    if (isPaused || isDone) return;
    const { bytes, isEnd, segment, offset } = segments.next();
    if (bytes !== undefined) {
      mark.write({ segment, offset, length: bytes.length, position: sink.position(stream) });
      isPaused = sink.output(stream, bytes) === "pause";
      wake();
    } else if (isEnd || !isPatient) {
      isDone = true;
      finish(isEnd);
    }
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
      mark.close();
    },
  };
}

type Piece = { bytes: Buffer | undefined; isEnd: boolean; segment: number; offset: number };

/** The segments of one output as one row of bytes; each is removed when it was read. */
function openSegments(files: OutputFiles, stream: OutputStream, sink: Sink) {
  let { segment, offset } = whereToStart(files, stream, sink);
  let file: number | undefined;

  const read = (): Buffer | undefined => {
    file ??= openIfThere(files.segment(segment));
    if (file === undefined) return undefined;
    const buffer = Buffer.allocUnsafe(pieceBytes);
    const length = readSync(file, buffer, 0, pieceBytes, offset);
    return length === 0 ? undefined : buffer.subarray(0, length);
  };

  const leave = (): void => {
    if (file !== undefined) closeSync(file);
    file = undefined;
    rmSync(files.segment(segment), { force: true });
    makeKnown(files.room);
    segment += 1;
    offset = 0;
  };

  makeKnown(files.room);
  return {
    next(): Piece {
      for (;;) {
        const isEnd = existsSync(files.end);
        const isLast = !existsSync(files.segment(segment + 1));
        // Read after looking: a segment that has a successor does not grow any more.
        const bytes = read();
        if (bytes !== undefined) {
          const piece = { bytes, isEnd: false, segment, offset };
          offset += bytes.length;
          return piece;
        }
        if (isLast) return { bytes, isEnd, segment, offset };
        leave();
      }
    },
    close() {
      if (file !== undefined) closeSync(file);
    },
  };
}

/** Behind the piece that was handed on last, or at it where the sink did not get it. */
function whereToStart(files: OutputFiles, stream: OutputStream, sink: Sink): { segment: number; offset: number } {
  const there = readdirSync(files.directory).flatMap((name) => files.numberOf(name) ?? []);
  const first = Math.min(...there);
  const marked = readOutputMark(files.mark);
  if (marked === undefined || marked.segment < first) return { segment: there.length === 0 ? 1 : first, offset: 0 };
  const { segment, offset, length, position } = marked;
  const now = sink.position(stream);
  const isTaken = now.line !== position.line || now.heldBytes !== position.heldBytes;
  return { segment, offset: isTaken ? offset + length : offset };
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
