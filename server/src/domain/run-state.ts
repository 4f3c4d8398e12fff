import { isTerminal, type Phase, type WorkloadResult } from "./workload.ts";

export type JobState = "blocked" | "queued" | "running" | "succeeded" | "failed" | "cancelled" | "skipped";
export type RunState = "queued" | "running" | "succeeded" | "failed" | "cancelled";

/** What a job's state is derived from. */
export type JobFacts = Readonly<{
  /** What its condition said once its needs had ended; `undefined` before. */
  evaluation: "run" | "skip" | "problems" | undefined;
  /** People, a time-out or a sibling ended it before it had a workload. */
  cancelled: boolean;
  /** Of the workload of its last try; `undefined` where it has none, or waits to be tried again. */
  phase: Phase | undefined;
}>;

/** The one rule of a job's state. */
export function deriveJobState({ evaluation, cancelled, phase }: JobFacts): JobState {
  if (phase !== undefined && !isTerminal(phase)) return "running";
  if (phase === "succeeded") return "succeeded";
  if (phase === "cancelled") return "cancelled";
  if (phase !== undefined) return "failed";
  if (cancelled) return "cancelled";
  if (evaluation === "skip") return "skipped";
  if (evaluation === "problems") return "failed";
  return evaluation === "run" ? "queued" : "blocked";
}

/** Whether a job's state is final. */
export function hasJobEnded(state: JobState): boolean {
  return state !== "blocked" && state !== "queued" && state !== "running";
}

/** Whether a run's state is final. */
export function hasRunEnded(state: RunState): boolean {
  return state !== "queued" && state !== "running";
}

/** The one rule of a run's state: that of the jobs of its last attempt. A run without jobs has succeeded. */
export function deriveRunState(jobs: readonly JobState[]): RunState {
  const some = (...states: JobState[]) => jobs.some((one) => states.includes(one));
  if (some("blocked", "queued", "running")) {
    const hasBegun = some("running", "succeeded", "failed");
    return hasBegun ? "running" : "queued";
  }
  if (some("failed")) return "failed";
  return some("cancelled") ? "cancelled" : "succeeded";
}

/** How often, after what, and how long after a job is tried again. */
export type RetryRule = Readonly<{
  max: number;
  on: readonly ("failed" | "lost" | "timed_out")[];
  backoff_ms: number;
  maximumBackoff_ms: number;
}>;

export type EndedTry = Readonly<{ phase: Phase; result: WorkloadResult | null; stopRequested: boolean; try: number }>;

/** After how many ms a job whose try has ended is tried again; `undefined`: not. The wait doubles with each try. */
export function retryAfter_ms(rule: RetryRule | null, ended: EndedTry): number | undefined {
  if (rule === null || ended.stopRequested || ended.try > rule.max) return undefined;
  const reason = reasonOf(ended);
  if (reason === undefined || !rule.on.includes(reason)) return undefined;
  return Math.min(rule.backoff_ms * 2 ** (ended.try - 1), rule.maximumBackoff_ms);
}

function reasonOf({ phase, result }: EndedTry): RetryRule["on"][number] | undefined {
  if (phase === "lost") return "lost";
  if (phase !== "failed") return undefined;
  return result?.outcome === "timed_out" ? "timed_out" : "failed";
}
