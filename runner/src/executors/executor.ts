import type { Buffer } from "node:buffer";
import type { Duplex } from "node:stream";

import type { OutputPosition } from "./output-mark.ts";

/** The interpreters a script may ask for; each is looked up on the job's `PATH`. */
export const scriptShells = ["sh", "bash", "node", "python3"] as const;

export type ScriptShell = (typeof scriptShells)[number];

/** What to run: an argument vector executed as given, or a script written to a file and handed to an interpreter. */
export type Command = { kind: "argv"; argv: string[] } | { kind: "script"; script: string; shell: ScriptShell };

/** One declared environment variable. A secret one is kept out of every record on disk. */
export type EnvironmentVariable = { name: string; value: string; secret: boolean };

/** What is brought into the workspace before the job starts: a repository at a branch, tag or commit. */
export type GitSource = { kind: "git"; url: string; ref: string };

/** One workload as the runner was told to execute it. Durations in milliseconds. */
export type WorkloadSpec = {
  workloadId: string;
  organizationId: string;
  fence: bigint;
  executor: string;
  command: Command;
  env: EnvironmentVariable[];
  source?: GitSource;
  /** Relative, inside the workspace. */
  workingDirectory?: string;
  /** Counted from the start of the job on a clock that counts suspension; the preparation of the source is bounded apart. */
  timeoutMs?: number;
  /** Between SIGTERM and SIGKILL where nobody says otherwise. */
  graceMs: number;
  /** How long after the last contact with the control plane it is tried elsewhere; never, where there is none. */
  lostAfterMs?: number;
  resources: Record<string, number>;
  /** The script of the `simulated` executor, as JSON. */
  simulation?: string;
  /** Files, as a tar in zstd, brought into the workspace before the job starts. */
  bundle?: ContentRef;
  /** Artifacts of earlier jobs, put into the workspace under their names; a directory's tar is unpacked. */
  downloads?: (ContentRef & { name: string; directory: boolean })[];
  /** What is kept of the workspace after the end. */
  uploads?: ArtifactUpload[];
};

/** Bytes that the control plane has. */
export type ContentRef = { sha256: string; sizeBytes: number };

/** Files that are kept under a name: paths in the workspace, with `*`, `?` and `**`. */
export type ArtifactUpload = { name: string; paths: string[] };

/** Where a job's files lie, and whose they are (`undefined`: the runner's own user's). */
export type JobFiles = { workspace: string; uid: number | undefined };

/** How many characters a terminal shows. */
export type TerminalSize = { columns: number; rows: number };

/** A command to be run where a job runs; `terminal` where it is to have one. */
export type EnterRequest = { argv: readonly string[]; terminal?: TerminalSize & { type: string } };

/** A command that runs where a job runs. */
export type Entered = {
  /** What it writes, at the reader's pace; with a terminal all of it is `stdout`. Ends soon after the command. */
  output: AsyncIterable<{ stream: OutputStream; bytes: Buffer }>;
  /** Settles once the command's input has room again; what comes after the command's end is passed over. */
  write(bytes: Uint8Array): Promise<void>;
  /** Nothing more will be written. */
  end(): void;
  resize(size: TerminalSize): void;
  /** To the command and what it started in its session. */
  signal(name: NodeJS.Signals): void;
  /** Never rejects. 128 + number after a signal. */
  exit: Promise<{ exitCode: number; signal?: NodeJS.Signals }>;
  /** Hangs up, and kills what does not heed that. Nothing happens after the end. */
  close(): void;
};

/** The way into a job that runs. */
export type Entrance = {
  /** Whose the job is. */
  organizationId: string;
  /** The directory in which its command started. */
  directory: string;
  /** Settles when the job ends, before anything of it is killed. */
  ended: Promise<void>;
  enter(request: EnterRequest): Promise<Entered>;
  /** Connects to a port of the loopback address as the job sees it. */
  connect(port: number, signal: AbortSignal): Promise<Duplex>;
};

/** `system` is the runner's own voice in a log; `stdout` and `stderr` are the job's. */
export type OutputStream = "stdout" | "stderr";

/**
 * Where an execution puts what it learns. All calls come from one execution, in order, and none after its result. They must not
 * throw: there is nobody to catch it.
 */
export type Sink = {
  /**
   * Takes bytes of the job. When it returns they are the sink's, durably: nothing will offer them again. The buffer may be
   * kept. Answering `"pause"` stops the flow until `Execution.resume()`; the job then blocks on its full pipe.
   */
  output(stream: OutputStream, bytes: Buffer): "pause" | undefined;
  /** Where an output stands, durably; every call of `output` moves it, so that it tells whether what was handed on last was taken. */
  position(stream: OutputStream): OutputPosition;
  /** A line or more of the runner's own, for instance the progress of a clone. */
  system(text: string): void;
  /** The job's process exists. Comes once; for an adopted execution that had started, at the adoption. */
  started(facts: { startTime: Date }): void;
};

/** What an execution has used so far. `sampled`: memory was looked at from time to time, so a short peak may be missed. */
export type Usage = { cpuMs: number; memoryPeakBytes: number; sampled: boolean };

export type StopRequest = {
  graceMs: number;
  /** Ends up in the result's message. */
  reason: string;
};

/** One execution that runs, or runs its way to its result. */
export type Execution = {
  workloadId: string;
  fence: bigint;
  /** What it leaves behind, until `forget`; not for an executor without files. */
  files?: JobFiles;
  /** The way in, while the job runs; throws an error that says why there is none. Not for an executor without processes. */
  entrance?(): Entrance;
  /** What is quoted of it, such as the name of a file, without its secrets. Not for an executor whose jobs are given none. */
  hideSecrets?(quoted: string): string;
  /** Never rejects. Everything the job wrote has reached the sink when it settles. */
  result: Promise<ExecutionResult>;
  /** SIGTERM now, SIGKILL after the grace, to the job and what it left behind. Asking again can only shorten the grace. */
  stop(request: StopRequest): void;
  /** Lets output flow again after the sink said `"pause"`. */
  resume(): void;
  usage(): Usage;
  /**
   * Removes what is kept of the execution on disk. To be called after the result is safe elsewhere: until then a restarted
   * runner is given the execution, and its result, again.
   */
  forget(): Promise<void>;
};

/**
 * How an execution ended.
 * - `exited`: by itself, with `exitCode`.
 * - `signalled`: by a signal nobody here sent; `exitCode` is then the shell's 128 + number.
 * - `timed_out`, `stopped`: ended by us; code or signal say how it took it.
 * - `start_failed`: the job never ran (no such command, source not to be had, no workspace).
 * - `lost`: what became of the job cannot be known.
 */
export type Outcome = "exited" | "signalled" | "timed_out" | "stopped" | "start_failed" | "lost";

export type ExecutionResult = {
  outcome: Outcome;
  exitCode?: number;
  signal?: NodeJS.Signals;
  /** For people; lower-case, no full stop. */
  message: string;
  cpuMs: number;
  memoryPeakBytes: number;
  memorySource: "cgroup" | "sampled";
  startTime: Date;
  endTime: Date;
  /** What the job wrote to `$AGYN_OUTPUT`. */
  outputs: Readonly<Record<string, string>>;
};

/** How far a job is kept from the runner's own secrets and from other jobs. */
export type Isolation = "uid" | "namespace" | "none";

/** What a runner may say about one of its executors. */
export type ExecutorProbe =
  | { usable: true; isolation: Isolation; facts: Record<string, string> }
  | { usable: false; reason: string };

/** An execution found on disk: what it was told to do (secret values are gone), and the execution that goes on. */
export type AdoptedExecution = { spec: WorkloadSpec; execution: Execution };

/** One way of running workloads. */
export type Executor = {
  name: string;
  /** Why this executor will not take `spec` at all, to be answered to the control plane as a rejection; before `start`. */
  refusal(spec: WorkloadSpec): string | undefined;
  /**
   * Starts `spec`. Returns once the execution is on record durably, so that a runner killed right after finds it again; what
   * goes wrong later, or with this, is in the result.
   */
  start(spec: WorkloadSpec, sink: Sink): Promise<Execution>;
  /**
   * Finds the executions of an earlier process of this runner. `sinkFor` is asked once for each. What cannot be taken up again
   * is among them, with the result `lost`.
   */
  adopt(sinkFor: (spec: WorkloadSpec) => Sink): Promise<AdoptedExecution[]>;
  probe(): Promise<ExecutorProbe>;
};
