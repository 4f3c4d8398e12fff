import { join } from "node:path";
import { readContent } from "./contents.ts";
import type { Executor, Isolation } from "./executors/executor.ts";
import type { HiddenPaths } from "./executors/isolation.ts";
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
  /** Tells the wrappers of jobs of this process: see `writeContact`. */
  contactFile: string;
  /** What jobs may not look into beside the runner's directory. */
  hidden: HiddenPaths | undefined;
  isolation: Isolation;
  gate: TransportGate;
};

/** Those executors, by name. The runner's directory is hidden from jobs. */
export function createExecutors(options: ExecutorOptions): ReadonlyMap<string, Executor> {
  const { names, runnerId, directory, jobsDirectory, contactFile, isolation, gate } = options;
  const executors = new Map<string, Executor>();
  if (names.includes("process")) {
    const { directories = [], files = [] } = options.hidden ?? {};
    const executor = createProcessExecutor({
      runnerId,
      directory: join(directory, "executions"),
      jobsDirectory,
      isolation,
      contactFile,
      hidden: { directories: [directory, ...directories], files },
      readContent: (of, content, signal) => readContent(gate, of, content, signal),
      sealingKey: openSealingKey(join(directory, "identity")),
    });
    executors.set(executor.name, executor);
  }
  if (names.includes("simulated")) executors.set("simulated", createSimulatedExecutor());
  return executors;
}
