import { spawn } from "node:child_process";
import { once } from "node:events";
import type { Readable } from "node:stream";

import { Handover } from "../../../wire/handover.ts";
import { closing, exitOf, innerEnvironment, signalSession, type EnterCommand } from "./entered-session.ts";
import type { Entered, OutputStream } from "./executor.ts";

/** How long the outputs of a command that has ended are read on: what it left behind may hold them open. */
const writerPatienceMs = 2000;

/** Runs `sh` with these arguments, its streams being pipes. */
export async function enteredByPipes({ args, sparesLeader }: EnterCommand): Promise<Entered> {
  const child = spawn("sh", args, { cwd: "/", detached: true, env: innerEnvironment(), stdio: "pipe" });
  await once(child, "spawn");
  const { stdin, stdout, stderr } = child;
  const leader = child.pid!;
  // A command that does not read its input is none of ours to report.
  for (const stream of [stdin, stdout, stderr]) stream.on("error", () => undefined);
  const { promise: exit, resolve: leave } = Promise.withResolvers<Awaited<Entered["exit"]>>();
  child.once("exit", (code, signal) => {
    leave(exitOf(code, signal));
    const late = setTimeout(() => [stdout, stderr].forEach((stream) => stream.destroy()), writerPatienceMs);
    child.once("close", () => clearTimeout(late));
  });
  return {
    output: outputOf(stdout, stderr),
    write: (bytes) => new Promise((resolve) => stdin.write(bytes, () => resolve())),
    end: () => void stdin.end(),
    resize: () => undefined,
    signal: (name) => signalSession(leader, name, sparesLeader),
    exit,
    close: closing(leader, exit),
  };
}

type Pieces = Handover<{ stream: OutputStream; bytes: Buffer }>;

/** Both outputs, as they come; of each at most one piece is held. */
function outputOf(stdout: Readable, stderr: Readable): AsyncIterable<{ stream: OutputStream; bytes: Buffer }> {
  const pieces: Pieces = new Handover();
  void Promise.all([pump("stdout", stdout, pieces), pump("stderr", stderr, pieces)]).then(() => pieces.end());
  return pieces.values();
}

async function pump(stream: OutputStream, source: Readable, pieces: Pieces): Promise<void> {
  try {
    for await (const bytes of source as AsyncIterable<Buffer>) await pieces.push({ stream, bytes });
  } catch {
    // It was given up: nothing more will come.
  }
}
