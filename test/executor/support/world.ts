import { chmodSync, mkdirSync, mkdtempSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { createId } from "../../../wire/ids.ts";
import type {
  Command,
  Execution,
  Executor,
  Isolation,
  Sink,
  WorkloadSpec,
} from "../../../runner/src/executors/executor.ts";
import { detectIsolation } from "../../../runner/src/executors/isolation.ts";
import { readProcesses } from "../../../runner/src/executors/process-tree.ts";
import type { ProcessExecutorOptions } from "../../../runner/src/executors/process-settings.ts";
import { createProcessExecutor } from "../../../runner/src/executors/process.ts";

/** A runner's data directory of its own, with an executor on it; everything is gone when it is disposed. */
export type World = AsyncDisposable & {
  directory: string;
  /** The runner's data directory, in `directory`. */
  data: string;
  options: ProcessExecutorOptions;
  executor: Executor;
  /** Starts and records. */
  start(command: Command | string[], more?: Partial<WorkloadSpec>): Promise<Running>;
  /** A new executor on the same directory, as after a restart of the runner. */
  restart(): Promise<Running[]>;
};

/** An execution and all it said. */
export type Running = { execution: Execution; spec: WorkloadSpec; log: Log };

export type Log = { stdout(): string; stderr(): string; system(): string; hasStarted(): boolean; pauses: boolean };

export async function openWorld(isolation?: Isolation): Promise<World> {
  const directory = mkdtempSync(join(tmpdir(), "agyn-executor-"));
  chmodSync(directory, 0o711);
  const options = optionsIn(directory, isolation ?? (await detectIsolation()));
  const data = dataIn(directory);
  mkdirSync(join(data, "identity"), { mode: 0o700 });
  const executor = createProcessExecutor(options);
  const running: Running[] = [];
  return {
    directory,
    data,
    options,
    executor,
    async start(command, more = {}) {
      const spec = specOf(command, more);
      const { log, sink } = recorder();
      running.push({ execution: await executor.start(spec, sink), spec, log });
      return running.at(-1)!;
    },
    async restart() {
      const logs = new Map<WorkloadSpec, Log>();
      const adopted = await createProcessExecutor(options).adopt((spec) => {
        const { log, sink } = recorder(spooledBytes(directory));
        logs.set(spec, log);
        return sink;
      });
      const found = adopted.map(({ spec, execution }) => ({ spec, execution, log: logs.get(spec)! }));
      running.push(...found);
      return found;
    },
    async [Symbol.asyncDispose]() {
      for (const { execution } of running) {
        execution.stop({ graceMs: 0, reason: "the test is over" });
        execution.resume();
        await execution.forget();
      }
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** Not the whole directory, so that what a test puts beside it is no secret of the runner. */
const dataIn = (directory: string): string => join(directory, "runner");

export function optionsIn(directory: string, isolation: Isolation): ProcessExecutorOptions {
  const data = dataIn(directory);
  mkdirSync(data, { recursive: true, mode: 0o711 });
  return {
    runnerId: "rnr_aaaaaaaaaaaaaaaa",
    directory: join(data, "executions"),
    jobsDirectory: join(data, "jobs"),
    contactFile: join(data, "contact"),
    isolation,
    hidden: { directories: [data], files: [] },
    sealingKey: Buffer.alloc(32, 7),
  };
}

export function specOf(command: Command | string[], more: Partial<WorkloadSpec> = {}): WorkloadSpec {
  return {
    workloadId: createId("workload"),
    organizationId: "org_aaaaaaaaaaaaaaaa",
    fence: 7n,
    executor: "process",
    command: Array.isArray(command) ? { kind: "argv", argv: command } : command,
    env: [],
    graceMs: 5000,
    resources: { slots: 1 },
    ...more,
  };
}

/** A secret of every job of `host.ts`. */
export const hostSecret = { name: "TOKEN", value: "s3cret-of-the-host", secret: true };

/** What `host.ts` has spooled. */
function spooledBytes(directory: string): number {
  return statSync(join(directory, "spool"), { throwIfNoEntry: false })?.size ?? 0;
}

/** A sink that records; `takenBytes`: what sinks before it have taken. */
export function recorder(takenBytes = 0): { log: Log; sink: Sink } {
  const said = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
  let line = takenBytes;
  let system = "";
  let hasStarted = false;
  const log: Log = {
    stdout: () => Buffer.concat(said.stdout).toString(),
    stderr: () => Buffer.concat(said.stderr).toString(),
    system: () => system,
    hasStarted: () => hasStarted,
    pauses: false,
  };
  const sink: Sink = {
    output(stream, bytes) {
      said[stream].push(bytes);
      line += bytes.length;
      return log.pauses ? "pause" : undefined;
    },
    position: () => ({ line, heldBytes: 0 }),
    system: (text) => (system += text),
    started: () => (hasStarted = true),
  };
  return { log, sink };
}

/** Runs a command to its end. */
export async function run(world: World, command: Command | string[], more: Partial<WorkloadSpec> = {}) {
  const { execution, log, spec } = await world.start(command, more);
  return { result: await execution.result, log, spec };
}

export function script(shell: Extract<Command, { kind: "script" }>["shell"], text: string): Command {
  return { kind: "script", shell, script: text };
}

/** Something that jobs wait for by the shell command `wait`, until the test opens it. */
export function createGate(world: World): { path: string; wait: string; open(): void } {
  const path = join(world.directory, "gate");
  const wait = `until test -e '${path}'; do sleep 0.02; done`;
  return { path, wait, open: () => writeFileSync(path, "") };
}

const deadlineMs = 60_000;

/** Waits until `fact` holds, looking often. */
export async function until(what: string, fact: () => boolean): Promise<void> {
  for (const endMs = performance.now() + deadlineMs; !fact(); await delay(10)) {
    if (performance.now() > endMs) throw new Error(`not within ${deadlineMs} ms: ${what}`);
  }
}

/** How many processes of the machine run with exactly this command line, its arguments ended by NULs. */
export function countRunning(commandLine: string): number {
  return readProcesses().filter(({ pid }) => readIfPossible(`/proc/${pid}/cmdline`) === commandLine).length;
}

function readIfPossible(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
