import { Buffer } from "node:buffer";
import { closeSync, constants, openSync, readSync } from "node:fs";
import { Socket } from "node:net";

import { type OutputPosition, openOutputStage, stageBytes } from "./output-stage.ts";

/** The reading end of a FIFO. */
export type OutputPipe = {
  resume(): void;
  /** Takes out all that is in the pipe now, waiting while paused. For when nobody is left that writes. */
  drain(): Promise<void>;
  close(): void;
};

export type OutputPipeOptions = {
  ended?: () => void;
  /** The stage's file, and where the output stands. */
  stage?: { path: string; position: () => OutputPosition } | undefined;
};

/**
 * Reads the FIFO at `path`. `take` is called in the same turn in which the bytes left the pipe, with a buffer of its own to keep.
 * With a `stage` they are kept there before that, so that what `take` had no time for is found again. Answering `"pause"` leaves
 * the rest in the pipe. `ended` is called when the last writer is gone.
 */
export function openOutputPipe(
  path: string,
  take: (bytes: Buffer) => "pause" | undefined,
  { ended, stage: staging }: OutputPipeOptions = {},
): OutputPipe {
  const descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const stage = staging && openOutputStage(staging.path);
  const buffer = stage?.buffer ?? Buffer.allocUnsafe(stageBytes);
  let paused = false;
  let draining = false;
  let resumed: (() => void) | undefined;
  const give = (length: number): void => {
    const bytes = stage?.keep(length, staging!.position()) ?? Buffer.from(buffer.subarray(0, length));
    if (take(bytes) === "pause") paused = true;
  };
  const socket = new Socket({
    fd: descriptor,
    readable: true,
    writable: false,
    // The option is Node's for reading into one buffer without a queue behind it; its types know it for clients only.
    ...{
      onread: {
        buffer,
        callback: (length: number): boolean => {
          give(length);
          return !paused && !draining;
        },
      },
    },
  });
  socket.on("error", () => socket.destroy());
  socket.on("end", () => ended?.());
  socket.resume();

  return {
    resume() {
      if (!paused) return;
      paused = false;
      resumed?.();
      if (!draining) socket.resume();
    },
    async drain() {
      draining = true;
      socket.pause();
      const own = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
      try {
        for (;;) {
          if (paused) await new Promise<void>((resolve) => (resumed = resolve));
          const length = readAvailable(own, buffer);
          if (length === 0) return;
          give(length);
        }
      } finally {
        closeSync(own);
      }
    },
    close() {
      socket.destroy();
      stage?.close();
    },
  };
}

/** Zero where there is nothing now, or never again. */
function readAvailable(descriptor: number, buffer: Buffer): number {
  try {
    return readSync(descriptor, buffer, 0, buffer.length, null);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EAGAIN") return 0;
    throw error;
  }
}
