import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { clientsFor, until, type Clients } from "../support/world.ts";

export const root = join(import.meta.dirname, "../..");

/** A program of this checkout, run as a user runs it. */
export type Run = {
  child: ChildProcess;
  output(): string;
  /** Its exit code, or the signal that ended it. */
  ended: Promise<number | NodeJS.Signals>;
};

export function run(words: readonly string[], environment: NodeJS.ProcessEnv = {}): Run {
  const inherited = Object.entries(process.env).filter(([name]) => !/^(AGYN_|DATABASE_URL$|npm_)/.test(name));
  const env = { ...Object.fromEntries(inherited), NO_COLOR: "1", ...environment };
  const [file = "", ...args] = words;
  const child = spawn(file, args, { cwd: root, env, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  const collect = (chunk: Buffer) => (output += chunk.toString());
  child.stdout.on("data", collect);
  child.stderr.on("data", collect);
  const ended = once(child, "close").then(([code, signal]) => (code ?? signal) as number | NodeJS.Signals);
  return { child, output: () => output, ended };
}

/** A data directory of a test's own, and everything that `npm start` runs on it. */
export interface Place extends AsyncDisposable {
  readonly directory: string;
  /** Starts on any free ports. */
  start(flags?: readonly string[]): Run;
  /** Starts, and waits until it says what to try next. */
  started(flags?: readonly string[]): Promise<Run>;
  admin(): Promise<Clients>;
}

const anyPort = ["--listen", "127.0.0.1:0", "--runner-listen", "127.0.0.1:0"];

export async function createPlace(): Promise<Place> {
  const parent = await mkdtemp(join(tmpdir(), "agyn-start-"));
  const directory = join(parent, "data of mine");
  const runs: Run[] = [];
  const place: Place = {
    directory,
    start(flags = anyPort) {
      const started = run([process.execPath, "scripts/start.ts", ...flags], { AGYN_DATA_DIR: directory });
      runs.push(started);
      return started;
    },
    async started(flags) {
      const one = place.start(flags);
      await until(
        "what to try next",
        () => {
          if (one.child.exitCode !== null) throw new Error(one.output());
          return one.output().includes("Ctrl-C stops it");
        },
        40_000,
      );
      return one;
    },
    async admin() {
      const read = async (name: string) => (await readFile(join(directory, name), "utf8")).trim();
      return clientsFor(await read("gateway"), await read("admin-token"));
    },
    async [Symbol.asyncDispose]() {
      for (const one of runs.filter(({ child }) => child.exitCode === null && child.signalCode === null)) {
        one.child.kill("SIGINT");
        await one.ended;
      }
      await rm(parent, { recursive: true, force: true, maxRetries: 3 });
    },
  };
  return place;
}

/** The processes of the machine whose command line names the directory. */
export async function processesOn(directory: string): Promise<string[]> {
  const listing = run(["ps", "-ww", "-eo", "args"]);
  await listing.ended;
  return listing
    .output()
    .split("\n")
    .filter((line) => line.includes(directory));
}
