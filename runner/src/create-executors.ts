import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { readContent } from "./contents.ts";
import type { Executor, Isolation } from "./executors/executor.ts";
import { createProcessExecutor } from "./executors/process.ts";
import { createSimulatedExecutor } from "./executors/simulated.ts";
import { openSealingKey } from "./sealing-key.ts";
import type { TransportGate } from "./transport-gate.ts";

/** The ways of running a workload that a runner may be given. */
export const executorNames = ["process", "simulated"] as const;

export type ExecutorName = (typeof executorNames)[number];

export type ExecutorOptions = {
  names: readonly ExecutorName[];
  runnerId: string;
  /** The runner's data directory. */
  directory: string;
  /** Where jobs have their directories. */
  jobsDirectory: string;
  isolation: Isolation;
  gate: TransportGate;
};

/** Those executors, by name. What nobody but the runner may read of its directory is hidden from jobs. */
export function createExecutors(options: ExecutorOptions): ReadonlyMap<string, Executor> {
  const { names, runnerId, directory, jobsDirectory, isolation, gate } = options;
  const executors = new Map<string, Executor>();
  if (names.includes("process")) {
    const hiddenPaths = ["identity", "executions", "spools"].map((name) => join(directory, name));
    // What is to be hidden from jobs must be there, also before anything was written to it.
    for (const path of hiddenPaths) mkdirSync(path, { recursive: true, mode: 0o700 });
    const executor = createProcessExecutor({
      runnerId,
      directory: join(directory, "executions"),
      jobsDirectory,
      isolation,
      hiddenPaths,
      readContent: (of, content, signal) => readContent(gate, of, content, signal),
      sealingKey: openSealingKey(join(directory, "identity")),
    });
    executors.set(executor.name, executor);
  }
  if (names.includes("simulated")) executors.set("simulated", createSimulatedExecutor());
  return executors;
}
