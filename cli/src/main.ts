import { constants } from "node:os";
import { getSystemErrorMap } from "node:util";
import { commands } from "./commands.ts";
import { exitCodes } from "./failures.ts";
import { runProgram } from "./program.ts";

const interrupt = new AbortController();

// The first Ctrl-C lets a command say how to go on; the second ends it whatever it does.
process.on("SIGINT", () => {
  if (interrupt.signal.aborted) process.exit(exitCodes.interrupted);
  interrupt.abort();
});
// An orderly exit gives the terminal back as it was.
for (const signal of ["SIGTERM", "SIGHUP", "SIGQUIT"] as const)
  process.on(signal, () => process.exit(128 + constants.signals[signal]));

// A reader that goes away, such as `head`, wants no more: that is no failure.
for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(exitCodes.ok);
    if (stream === process.stdout) process.stderr.write(`error: the output cannot be written: ${wordsOf(error)}\n`);
    process.exit(exitCodes.failure);
  });
}

function wordsOf({ errno, code, message }: NodeJS.ErrnoException): string {
  const [, words] = getSystemErrorMap().get(errno ?? 0) ?? [];
  return words === undefined ? message : `${words} (${code})`;
}

const exitCode = await runProgram(commands, process.argv.slice(2), {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  environment: process.env,
  cwd: process.cwd(),
  now: () => new Date(),
  signal: interrupt.signal,
});
process.exit(exitCode);
