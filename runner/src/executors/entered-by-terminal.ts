import type { Writable } from "node:stream";
import type * as Terminals from "@lydell/node-pty";

import { closing, exitOf, innerEnvironment, signalSession, type EnterCommand } from "./entered-session.ts";
import type { EnterRequest, Entered } from "./executor.ts";
import { signalNames } from "./ending.ts";

/** Bytes of a terminal's output that wait for their reader before the terminal is paused, and at which it goes on. */
const pauseBytes = 256 * 1024;
const resumeBytes = 64 * 1024;
/** How often it is looked whether the command of a paused terminal has ended: the library gives up the output 200 ms after the end. */
const pausedLookMs = 50;
/** What a terminal takes for the end of the input (ASCII EOT). */
const endOfInput = Buffer.from([4]);

/** Runs `sh` with these arguments on a terminal of its own. */
export async function enteredByTerminal(
  { args, sparesLeader }: EnterCommand,
  { columns, rows, type }: NonNullable<EnterRequest["terminal"]>,
): Promise<Entered> {
  const { spawn } = await loadTerminals();
  const options = { name: type, cols: columns, rows, cwd: "/", env: innerEnvironment(), encoding: null };
  const pty = spawn("sh", args, options);
  const input = inputOf(pty);
  const { promise: exit, resolve: leave } = Promise.withResolvers<Awaited<Entered["exit"]>>();
  const output = outputOf(pty);
  let isOver = false;
  pty.onExit(({ exitCode, signal }) => {
    isOver = true;
    output.end();
    leave(exitOf(exitCode, signal ? (signalNames.get(signal) ?? "SIGKILL") : null));
  });
  const write = (bytes: Uint8Array): Promise<void> =>
    new Promise((resolve) => void input.write(bytes, () => resolve()));
  return {
    output: output.pieces(),
    write,
    end: () => void write(endOfInput),
    resize: (size) => {
      if (!isOver) pty.resize(size.columns, size.rows);
    },
    signal: (name) => signalSession(pty.pid, name, sparesLeader),
    exit,
    close: closing(pty.pid, exit),
  };
}

async function loadTerminals(): Promise<typeof Terminals> {
  try {
    return await import("@lydell/node-pty");
  } catch (error) {
    throw new Error(`this runner has no terminals for its system: ${(error as Error).message}`, { cause: error });
  }
}

/** The library takes everything at once and tells nobody when there is room again; its socket does. */
function inputOf(pty: Terminals.IPty): Writable {
  const { _socket: socket } = pty as unknown as { _socket?: Writable };
  if (socket === undefined) throw new Error("this version of node-pty has no socket");
  return socket;
}

/** The output at the reader's pace: bounded by pausing the terminal, whose program then blocks. */
function outputOf(pty: Terminals.IPty) {
  let pieces: Buffer[] = [];
  let waitingBytes = 0;
  let hasEnded = false;
  let wake = (): void => undefined;
  let looking: NodeJS.Timeout | undefined;
  const resume = (): void => {
    clearInterval(looking);
    looking = undefined;
    pty.resume();
  };
  const pause = (): void => {
    pty.pause();
    looking = setInterval(() => isThere(pty.pid) || resume(), pausedLookMs);
  };
  pty.onData((data) => {
    // Without an encoding it is a buffer, whatever its type says.
    const bytes = data as unknown as Buffer;
    pieces.push(bytes);
    waitingBytes += bytes.length;
    if (waitingBytes >= pauseBytes && looking === undefined && isThere(pty.pid)) pause();
    wake();
  });
  return {
    end(): void {
      hasEnded = true;
      clearInterval(looking);
      wake();
    },
    async *pieces(): AsyncGenerator<{ stream: "stdout"; bytes: Buffer }> {
      for (;;) {
        const taken = pieces;
        pieces = [];
        for (const bytes of taken) {
          yield { stream: "stdout", bytes };
          waitingBytes -= bytes.length;
          if (looking !== undefined && waitingBytes <= resumeBytes) resume();
        }
        if (pieces.length > 0) continue;
        if (hasEnded) return;
        await new Promise<void>((resolve) => (wake = resolve));
      }
    },
  };
}

function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
