import { PassThrough } from "node:stream";
import { commands } from "../../../cli/src/commands.ts";
import { runProgram } from "../../../cli/src/program.ts";
import type { Terminal } from "../../../cli/src/terminal.ts";

export interface Ran {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface TerminalOptions {
  readonly environment?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  /** How wide the terminal is that both outputs are; none where they are pipes. */
  readonly columns?: number;
  readonly signal?: AbortSignal;
  readonly input?: string;
  /** Called with all of stderr so far. */
  readonly onStderr?: (text: string) => void;
  readonly onStdout?: (text: string) => void;
}

/** Runs a command line in this process and collects what it wrote. */
export async function run(argv: readonly string[], options: TerminalOptions = {}): Promise<Ran> {
  const stdout = collect(options.columns, options.onStdout);
  const stderr = collect(options.columns, options.onStderr);
  const stdin = new PassThrough();
  stdin.end(options.input ?? "");
  const terminal: Terminal = {
    stdin,
    stdout: stdout.stream,
    stderr: stderr.stream,
    environment: options.environment ?? {},
    cwd: options.cwd ?? "/",
    now: () => new Date(),
    signal: options.signal ?? new AbortController().signal,
  };
  const exitCode = await runProgram(commands, argv, terminal);
  return { exitCode, stdout: stdout.text(), stderr: stderr.text() };
}

function collect(columns: number | undefined, onText: ((text: string) => void) | undefined) {
  const stream = Object.assign(new PassThrough(), columns === undefined ? {} : { isTTY: true, columns });
  let text = "";
  const decoder = new TextDecoder();
  stream.on("data", (chunk: Buffer) => {
    text += decoder.decode(chunk, { stream: true });
    onText?.(text);
  });
  return { stream, text: () => text };
}
