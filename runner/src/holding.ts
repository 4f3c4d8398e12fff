/** How a workload ended on this runner. */
export type HeldOutcome = "exited" | "signalled" | "timed_out" | "stopped" | "start_failed" | "lost" | "runner_stopped";

/** What is reported of a workload that ended. Times in ms since 1970. */
export type HeldResult = {
  outcome: HeldOutcome;
  exitCode: number;
  signal: string;
  message: string;
  cpuMs: number;
  memoryPeakBytes: number;
  memorySampled: boolean;
  startTimeMs: number | undefined;
  endTimeMs: number | undefined;
  /** What the command handed on; not in records of earlier versions. */
  outputs?: Readonly<Record<string, string>>;
};

/** What the runner keeps of a placement: enough to answer for it, also after a restart. Nothing secret. */
export type Placement = {
  workloadId: string;
  fence: bigint;
  executor: string;
  resources: Readonly<Record<string, number>>;
  /** The control plane tries it again when it is lost, so it must have ended here by then. */
  retriedWhenLost: boolean;
  /** `undefined`: it is never given up. */
  lostAfterMs: number | undefined;
  graceMs: number;
  /** Something of its workspace is kept, which takes time after its end. */
  hasUploads?: true;
};

/** Who wants it stopped, which decides what its end is called. */
export type StopCause = "requested" | "lost" | "runner_stopped";

export type StopOrder = { cause: StopCause; graceMs: number; reason: string };

/** Where a held workload stands. `recording`: the placement is on its way to the disk and nothing was started. */
export type HeldPhase =
  | { kind: "recording" }
  | { kind: "starting" }
  | { kind: "running"; startTimeMs: number }
  | { kind: "completed"; result: HeldResult; acknowledged: boolean };

/** A workload that this runner holds. */
export type Holding = {
  placement: Placement;
  phase: HeldPhase;
  /** Set once its end was asked for. */
  stop: StopOrder | undefined;
  /** Its result is not wanted; it goes once it has ended. */
  forgotten: boolean;
  /** Its log is with the control plane, whole, or refused by it. */
  logSettled: boolean;
  /** Nothing of its workspace is left to send. */
  uploadsSettled: boolean;
};

/** Which workload, under which fence. */
export type HoldingRef = { workloadId: string; fence: bigint };

/** How a holding is named in the log. */
export function logFields({ workloadId, fence }: HoldingRef): { workload_id: string; fence: string } {
  return { workload_id: workloadId, fence: String(fence) };
}

/** The one text for a (workload, fence), as a key and as a folder's name. */
export function holdingKey({ workloadId, fence }: HoldingRef): string {
  return `${workloadId}.${fence}`;
}

/** Whether it takes capacity: from the moment it is recorded until it has ended. */
export function isLive({ phase }: Holding): boolean {
  return phase.kind !== "completed";
}
