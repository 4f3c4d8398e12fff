import type { ContentRef, Isolation } from "./executor.ts";
import type { HiddenPaths } from "./isolation.ts";
import type { UidRange } from "./job-uids.ts";

/** Throws at the end where the bytes are not those that are meant. */
export type ReadContent = (
  of: { workloadId: string; fence: bigint },
  content: ContentRef,
  signal: AbortSignal,
) => AsyncIterable<Uint8Array>;

/** What the executor `process` is told. */
export type ProcessExecutorOptions = {
  runnerId: string;
  /** Of this executor alone; records and pipes, 0700. */
  directory: string;
  /** Where the jobs' own directories go, if their users can get there: see `openJobRoot`. */
  jobsDirectory: string;
  /** As `detectIsolation` found, or weaker. */
  isolation: Isolation;
  /** Only the isolation `namespace` has to be told. */
  hidden: HiddenPaths;
  uidRange?: UidRange;
  /** Shared by all runners of the machine. */
  uidClaimsDirectory?: string;
  /** 32 bytes that seal the secrets of running jobs on disk; by default, known to this process alone. */
  sealingKey?: Uint8Array;
  /** The search path of jobs. */
  path?: string;
  /** The bytes of a content that a workload's spec names, checked. */
  readContent?: ReadContent;
  /** Says when the control plane was last known to hear the runner, and which process that is: see `writeContact`. */
  contactFile: string;
  /** For bringing in a source. */
  sourceTimeoutMs?: number;
};

/** The options with everything filled in, and where things lie. */
export type ProcessExecutorSettings = Required<ProcessExecutorOptions> & { bootId: string; jobRoot: string };
