import { join } from "node:path";

import { readIfThere, writeFileAtomically, writeFileDurably } from "../atomic-file.ts";
import type { Isolation, WorkloadSpec } from "./executor.ts";
import { outputFiles } from "./output-files.ts";

/**
 * What is on disk of one execution, in a 0700 directory `<workload id>.<fence>` of the runner's own:
 * - `record.json`: what to do and where; on the disk before anything else exists
 * - `wrapper.json`: which process is the wrapper; written before the wrapper is let go, so a job never runs unrecorded
 * - `out`, `err`, `notify`, `control`: the pipes
 * - `output/`, and `room` and `mark` of each output: see `output-files.ts`
 * - `secrets`: values of secret variables, sealed: see `secret-file.ts`
 * - `job`, `start`, `exit`: by the wrapper: the job's process id, `started` or why it could not be, how it ended
 * - `ending.json`: that and why the runner is ending it, or the wrapper in its stead
 * - `limit`, `overtime.json`: when the wrapper is to end it, and the `ending.json` for that; only where its time is limited
 * - `loss`, `abandoned.json`: the same for when its runner is dead; only where it is tried elsewhere then
 * - `drained`: all output has reached the sink
 */
export type ExecutionRecord = {
  version: 2;
  /** Without the values of secret variables. */
  spec: WorkloadSpec;
  bootId: string;
  isolation: Isolation;
  uid?: number;
  jobDirectory: string;
  cgroup?: string;
  createTime: string;
  /** The same on the boot clock: no process of the execution is older. */
  createBootTicks: number;
};

/** The wrapper's process: an id alone may have been given to another since. */
export type ProcessIdentity = { pid: number; startTicks: number };

/** That we are ending the job, so that a runner that adopts it goes on doing so. Times on the boot clock. */
export type Ending = { outcome: "stopped" | "timed_out" | "lost"; reason: string; killAtBootMs: number };

/** The paths of one execution's directory. */
export type ExecutionFiles = ReturnType<typeof executionFiles>;

/** Where the files of an execution lie; looks at nothing. */
export function executionFiles(directory: string) {
  const at = (name: string): string => join(directory, name);
  return {
    directory,
    record: at("record.json"),
    wrapper: at("wrapper.json"),
    ending: at("ending.json"),
    limit: at("limit"),
    overtime: at("overtime.json"),
    loss: at("loss"),
    abandoned: at("abandoned.json"),
    stdout: outputFiles(directory, "stdout"),
    stderr: outputFiles(directory, "stderr"),
    notify: at("notify"),
    control: at("control"),
    launch: at("launch"),
    secrets: at("secrets"),
    job: at("job"),
    start: at("start"),
    exit: at("exit"),
    drained: at("drained"),
  };
}

/** Writes the record, on the disk when it returns. Secret values are left out (I6). */
export function writeRecord(files: ExecutionFiles, record: ExecutionRecord): void {
  const env = record.spec.env.map((variable) => (variable.secret ? { ...variable, value: "" } : variable));
  const { fence, ...spec } = record.spec;
  writeFileDurably(files.record, JSON.stringify({ ...record, spec: { ...spec, env, fence: fence.toString() } }));
}

/** The record, or `undefined` where there is none or it is not one of this version. */
export function readRecord(files: ExecutionFiles): ExecutionRecord | undefined {
  const text = readIfThere(files.record);
  if (text === undefined) return undefined;
  try {
    const record = JSON.parse(text) as ExecutionRecord & { spec: { fence: string } };
    if (record.version !== 2) return undefined;
    return { ...record, spec: { ...record.spec, fence: BigInt(record.spec.fence) } };
  } catch {
    return undefined;
  }
}

/** Puts the wrapper on record, before it is let go. */
export function writeWrapper(files: ExecutionFiles, wrapper: ProcessIdentity): void {
  writeFileAtomically(files.wrapper, JSON.stringify(wrapper));
}

/** `undefined`: none was put on record, so no job ran. */
export function readWrapper(files: ExecutionFiles): ProcessIdentity | undefined {
  const text = readIfThere(files.wrapper);
  return text === undefined ? undefined : (JSON.parse(text) as ProcessIdentity);
}

/** Replaces the ending on record; throws where the disk is full. */
export function writeEnding(files: ExecutionFiles, ending: Ending): void {
  writeFileAtomically(files.ending, JSON.stringify(ending));
}

/** `undefined`: nobody wanted the job to end. */
export function readEnding(files: ExecutionFiles): Ending | undefined {
  const text = readIfThere(files.ending);
  return text === undefined ? undefined : (JSON.parse(text) as Ending);
}

/** The process id of the job, which leads its own session; `undefined` while there is none. */
export function readJobPid(files: ExecutionFiles): number | undefined {
  const text = readIfThere(files.job);
  const pid = text !== undefined && /^[0-9]+\n$/.test(text) ? Number(text) : 0;
  // Signals to the groups 0 and 1 would reach us, or everyone.
  return pid > 1 ? pid : undefined;
}

/**
 * Whether the job's command was reached, or why not; empty while it is not known, and for good where what encloses the job failed.
 * Only the first line is ours: what encloses a job may leave the file open to it.
 */
export function readStart(files: ExecutionFiles): string {
  return readIfThere(files.start)?.split("\n", 1)[0] ?? "";
}
