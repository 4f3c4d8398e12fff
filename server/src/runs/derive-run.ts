/* What a run's record takes over from the jobs of its attempt. */
import { deriveRunState, hasJobEnded, hasRunEnded, type JobState } from "../domain/run-state.ts";
import type { JobRow } from "../store/jobs.ts";
import type { DerivedRun, WholeRun } from "../store/runs.ts";

/** Why everything of a run is to end; empty: it is not. */
export function endingOf(run: WholeRun): string {
  if (run.cancelRequested) return run.message || "the run was cancelled";
  return run.isPastDeadline ? "the run's time is up" : "";
}

type Ended = Pick<JobRow, "name" | "state" | "reused" | "queueTime" | "startTime" | "endTime">;

/** Of a run whose jobs are these. */
export function derivedOf(run: WholeRun, rows: readonly Ended[], now: Date): DerivedRun {
  const states = rows.map((row) => row.state);
  const state = deriveRunState(states);
  const starts = rows.flatMap((row) => (row.startTime && !row.reused ? [row.startTime.getTime()] : []));
  const ended = rows.filter((row) => row.startTime && row.endTime && !row.reused);
  return {
    id: run.id,
    state,
    message: run.message || (run.isPastDeadline ? endingOf(run) : failureText(rows)),
    jobs: countStates(states),
    startTime: starts.length === 0 ? run.startTime : new Date(Math.min(...starts)),
    endTime: hasRunEnded(state) ? now : null,
    waiting_ms: sum(rows.map((row) => span_ms(row.queueTime, row.startTime ?? row.endTime))),
    running_ms: sum(ended.map((row) => span_ms(row.startTime, row.endTime))),
  };
}

/** Whether a run's record says another thing of its jobs than they do. */
export function isOutdated({ state, jobs }: Pick<WholeRun, "state" | "jobs">, derived: DerivedRun): boolean {
  const counts = new Set([...Object.keys(jobs), ...Object.keys(derived.jobs)]) as Set<JobState>;
  return state !== derived.state || [...counts].some((one) => (jobs[one] ?? 0) !== (derived.jobs[one] ?? 0));
}

const namedFailures = 5;

function failureText(rows: readonly Pick<JobRow, "name" | "state">[]): string {
  const failed = rows.filter((row) => row.state === "failed").map((row) => row.name);
  if (failed.length === 0 || rows.some((row) => !hasJobEnded(row.state))) return "";
  const more = failed.length > namedFailures ? ` and ${failed.length - namedFailures} more` : "";
  return `failed: ${failed.slice(0, namedFailures).join(", ")}${more}`;
}

function countStates(states: readonly JobState[]): Partial<Record<JobState, number>> {
  const counts: Partial<Record<JobState, number>> = {};
  for (const state of states) counts[state] = (counts[state] ?? 0) + 1;
  return counts;
}

function span_ms(from: Date | null, to: Date | null): number {
  return from && to ? Math.max(0, to.getTime() - from.getTime()) : 0;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
