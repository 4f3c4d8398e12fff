/* What follows for the jobs of a run: pure; `advance-run.ts` writes it. */
import { evaluateJob } from "../../../pipelines/evaluate-job.ts";
import type {
  EndedJob,
  JobEvaluation,
  PlannedJob,
  ResolvedJob,
  RunContext,
  InputValues,
} from "../../../pipelines/pipeline.ts";
import { hasJobEnded, type JobState } from "../domain/run-state.ts";

/** A job of the attempt, as it stands. */
export type JobStanding = Readonly<{
  planned: PlannedJob;
  state: JobState;
  skipCause: EndedJob["cause"];
  outputs: Readonly<Record<string, string>>;
  /** Its workload was asked to stop. */
  stopRequested: boolean;
  /** It has ended, and artifacts of it are still on their way. */
  isUploading: boolean;
}>;

export type RunStanding = Readonly<{
  inputs: InputValues;
  run: RunContext;
  env: Readonly<Record<string, string>>;
  /** Why everything is to end; empty: it is not. */
  ending: string;
  /** Whether people asked for that; jobs whose conditions hold in a cancelled run go on. */
  cancelled: boolean;
  /** Whether its concurrency group, if it has one, lets the run begin. */
  mayBegin: boolean;
  jobs: readonly JobStanding[];
}>;

/** What becomes of one job. */
export type JobStep = Readonly<
  | { kind: "queue"; job: ResolvedJob; reason: string }
  | { kind: "skip"; reason: string; cause: NonNullable<EndedJob["cause"]> }
  | { kind: "fail"; reason: string }
  | { kind: "cancel"; reason: string }
  /** Its workload is to end. */
  | { kind: "stop"; reason: string }
>;

/** The steps by the job's name. Deciding again once they are written gives none. */
export function decideRun(standing: RunStanding): Map<string, JobStep> {
  const steps = new Map<string, JobStep>();
  const byName = new Map(standing.jobs.map((one) => [one.planned.name, one]));
  const failedFast = failFastCauses(standing.jobs);
  for (const job of inOrder(standing.jobs, byName)) {
    const step = stepOf(job, standing, { byName, steps, failedFast });
    if (step) steps.set(job.planned.name, step);
  }
  return steps;
}

type Known = {
  byName: ReadonlyMap<string, JobStanding>;
  steps: ReadonlyMap<string, JobStep>;
  failedFast: ReadonlyMap<string, string>;
};

function stepOf(job: JobStanding, standing: RunStanding, known: Known): JobStep | undefined {
  const { planned, state } = job;
  if (hasJobEnded(state)) return undefined;
  const failed = known.failedFast.get(planned.key);
  const ending = standing.ending || (failed === undefined ? "" : `${failed} failed, and the matrix fails fast`);
  if (state === "queued" || state === "running") {
    if (ending === "" || (standing.cancelled && outlivesCancel(job, standing, known))) return undefined;
    if (state === "queued") return { kind: "cancel", reason: ending };
    return job.stopRequested ? undefined : { kind: "stop", reason: ending };
  }
  // A condition such as always() lets a job run in a run that was cancelled.
  if (ending !== "" && !standing.cancelled) return { kind: "cancel", reason: ending };
  if (!standing.mayBegin) return ending === "" ? undefined : { kind: "cancel", reason: ending };
  const evaluation = evaluate(job, standing, known);
  if (evaluation !== undefined && ending === "" && waitsForArtifacts(planned, known.byName)) return undefined;
  if (evaluation === undefined) {
    return ending !== "" && planned.definition.if === null ? { kind: "cancel", reason: ending } : undefined;
  }
  if (evaluation.kind === "problems") {
    return { kind: "fail", reason: evaluation.problems.map((one) => `${one.path}: ${one.message}`).join("; ") };
  }
  if (evaluation.kind === "run") return { kind: "queue", job: evaluation.job, reason: evaluation.reason };
  return ending === "" ? evaluation : { kind: "cancel", reason: ending };
}

/** Whether an artifact that the job asks for may still come: the end of the job that makes it is known before. */
function waitsForArtifacts(planned: PlannedJob, byName: ReadonlyMap<string, JobStanding>): boolean {
  const { download } = planned.definition.artifacts;
  if (download.length === 0) return false;
  const wanted = new Set(download.map((one) => one.job));
  return jobsBefore(planned, byName).some(
    (one) => one.isUploading && (wanted.has(null) || wanted.has(one.planned.key)),
  );
}

/** The jobs that a job needs, and those that they need. */
export function jobsBefore<J extends { planned: PlannedJob }>(
  planned: PlannedJob,
  byName: ReadonlyMap<string, J>,
): J[] {
  const names = new Set(planned.needs);
  // A set hands out what is added while it is walked.
  for (const name of names) for (const need of byName.get(name)!.planned.needs) names.add(need);
  return [...names].map((name) => byName.get(name)!);
}

/** Whether a job that waits or runs would begin in the cancelled run, too. */
function outlivesCancel(job: JobStanding, standing: RunStanding, known: Known): boolean {
  return job.planned.definition.if !== null && evaluate(job, standing, known)?.kind === "run";
}

/** What the job's condition says; `undefined` while one of those that it needs lives. */
function evaluate({ planned }: JobStanding, standing: RunStanding, known: Known): JobEvaluation | undefined {
  const needs = planned.needs.map((name) => endedOf(known.byName.get(name)!, known.steps.get(name)));
  if (needs.some((one) => one === undefined)) return undefined;
  const { inputs, run, env, cancelled } = standing;
  return evaluateJob(planned, { inputs, run, env, needs: needs as EndedJob[], cancelled });
}

/** How a needed job has ended, with what was just decided for it; `undefined`: it has not. */
function endedOf({ planned, state, skipCause, outputs }: JobStanding, step: JobStep | undefined): EndedJob | undefined {
  if (step?.kind === "skip") return { key: planned.key, state: "skipped", cause: step.cause, outputs: {} };
  if (step?.kind === "cancel") return { key: planned.key, state: "cancelled", cause: null, outputs: {} };
  if (step?.kind === "fail") return { key: planned.key, state: "failed", cause: null, outputs: {} };
  if (!hasJobEnded(state)) return undefined;
  return { key: planned.key, state: state as EndedJob["state"], cause: skipCause, outputs };
}

/** The first failed cell of each matrix that fails fast, by its definition. */
function failFastCauses(jobs: readonly JobStanding[]): Map<string, string> {
  const causes = new Map<string, string>();
  for (const { planned, state } of jobs) {
    if (state !== "failed" || !planned.definition.matrix?.failFast || causes.has(planned.key)) continue;
    causes.set(planned.key, planned.name);
  }
  return causes;
}

/** Each job after those it needs. */
function inOrder(jobs: readonly JobStanding[], byName: ReadonlyMap<string, JobStanding>): JobStanding[] {
  const missing = new Map(jobs.map((one) => [one.planned.name, one.planned.needs.length]));
  const dependents = new Map<string, JobStanding[]>();
  for (const job of jobs) {
    for (const need of job.planned.needs) dependents.set(need, [...(dependents.get(need) ?? []), job]);
  }
  const ordered = jobs.filter((one) => one.planned.needs.length === 0);
  for (const { planned } of ordered) {
    for (const dependent of dependents.get(planned.name) ?? []) {
      const left = missing.get(dependent.planned.name)! - 1;
      missing.set(dependent.planned.name, left);
      if (left === 0) ordered.push(byName.get(dependent.planned.name)!);
    }
  }
  return ordered;
}
