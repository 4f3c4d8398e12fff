import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

/** A program of this checkout that runs as a process of its own, and what it logged. */
export type Program = {
  readonly name: string;
  readonly pid: number;
  /** The records it logged so far. */
  records(): LogRecord[];
  isRunning(): boolean;
  /** Sends a signal and waits for the end; after the time it is killed. */
  end(signal: NodeJS.Signals, timeout_ms: number): Promise<void>;
};

export type LogRecord = Record<string, unknown>;

/** Most of a program's log that is kept, in characters; the end is what matters. */
const keptLog_characters = 1_000_000;

const root = join(import.meta.dirname, "..");

/**
 * Starts `entry` with the Node that runs this. It gets nothing of what is set here for another agyn, has `directory` as its own, and
 * its standard input ends with this process.
 */
export function startProgram(name: string, entry: string, flags: readonly string[], directory: string): Program {
  const inherited = Object.entries(process.env).filter(([key]) => !/^(AGYN_|DATABASE_URL$|NODE_OPTIONS$)/.test(key));
  const child = spawn(process.execPath, [join(root, entry), ...flags], {
    cwd: directory,
    env: Object.fromEntries(inherited),
    stdio: ["pipe", "ignore", "pipe"],
    // A Ctrl-C reaches the whole group of the terminal; who stops when is decided here.
    detached: true,
  });
  const exited = once(child, "exit").catch(() => undefined);
  let log = "";
  child.stderr.on("data", (chunk: Buffer) => (log = (log + chunk.toString()).slice(-keptLog_characters)));
  child.stdin.on("error", () => undefined);
  const isRunning = () => child.pid !== undefined && child.exitCode === null && child.signalCode === null;
  return {
    name,
    pid: child.pid ?? 0,
    records: () => log.split("\n").flatMap(toRecord),
    isRunning,
    async end(signal, timeout_ms) {
      if (!isRunning()) return;
      child.kill(signal);
      const timer = setTimeout(() => child.kill("SIGKILL"), timeout_ms);
      await exited;
      clearTimeout(timer);
    },
  };
}

function toRecord(line: string): LogRecord[] {
  if (line.trim() === "") return [];
  try {
    return [JSON.parse(line) as LogRecord];
  } catch {
    return [{ message: line }];
  }
}

/** The last things a program said, for an error that names why it ended. */
export function lastWords(program: Program): string {
  return program
    .records()
    .slice(-8)
    .map((record) => JSON.stringify(record))
    .join("\n");
}

/** Waits for a fact: asks until there is an answer; `programs` must live as long. */
export async function until<T>(
  what: string,
  ask: () => Promise<T | undefined> | T | undefined,
  { programs = [], timeout_ms = 30_000 }: { programs?: readonly Program[]; timeout_ms?: number } = {},
): Promise<T> {
  const deadline = Date.now() + timeout_ms;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    const ended = programs.find((program) => !program.isRunning());
    if (ended) throw new Error(`${ended.name} ended while ${what} was waited for:\n${lastWords(ended)}`);
    if (Date.now() > deadline)
      throw new Error([`${what} was waited for ${timeout_ms / 1000} s in vain`, ...programs.map(lastWords)].join("\n"));
    await delay(50);
  }
}

/** The control plane that is up: where it is reached, and the token of its first start. */
export type ControlPlane = { program: Program; gateway: string; runnerPlane: string; token: string };

/** Times so short that the loss of a runner is noticed while one looks on. */
const quickTimes = ["--heartbeat", "500ms", "--lease", "2s", "--loop-period", "250ms", "--shutdown-grace", "500ms"];

/**
 * Starts a control plane with its data below `directory`, on ports that are free; `onStarted` gets the process before it is
 * ready, so that it can be ended in any case. `overlay`: flags that say how runners reach it, where they do not by TCP.
 */
export async function startControlPlane(
  directory: string,
  overlay: readonly string[],
  onStarted: (program: Program) => void,
): Promise<ControlPlane> {
  const data = join(directory, "server");
  const anyPort = ["--listen", "127.0.0.1:0", "--runner-listen", "127.0.0.1:0"];
  const flags = ["--data-dir", data, "--parent-pipe", ...anyPort, ...overlay, ...quickTimes];
  const program = startProgram("the control plane", "server/src/main.ts", flags, directory);
  onStarted(program);
  const ready = await until(
    "the control plane",
    () => program.records().find((record) => record["message"] === "server ready"),
    { programs: [program] },
  );
  const token = readFileSync(join(data, "admin-token"), "utf8").trim();
  return { program, gateway: String(ready["gateway"]), runnerPlane: String(ready["runner_plane"]), token };
}
