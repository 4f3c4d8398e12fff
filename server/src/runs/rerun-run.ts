import type { PlannedJob } from "../../../pipelines/pipeline.ts";
import { AgynError } from "../domain/errors.ts";
import { hasRunEnded } from "../domain/run-state.ts";
import { insertJobs, listJobsOfAttempt, reserveJobKeys, type HeldJob, type JobRow } from "../store/jobs.ts";
import { insertAuditEvent, type AuditEvent } from "../store/audit-events.ts";
import { wakeReport } from "../store/reports.ts";
import { getQueueLimits } from "../store/queue-settings.ts";
import { beginAttempt, lockRun, type RunRow } from "../store/runs.ts";
import { advanceHeldRun } from "./advance-run.ts";
import { demandRoom, isRoomFar } from "./demand-room.ts";
import { unchanged } from "./job-change.ts";
import { newJobs, toNewJobs } from "./new-jobs.ts";
import { planOf } from "./stored-plan.ts";
import type { StartDeps } from "./start-run.ts";

/** Which jobs a new attempt runs again; the others keep their results. */
export type RerunScope = { kind: "all" } | { kind: "failed" } | { kind: "job"; name: string };

export type Rerun = {
  runId: string;
  scope: RerunScope;
  /** Where the run is further than this attempt already, that is the answer. */
  ifAttempt: number | undefined;
  /** The event that tells of the new attempt, kept with it. */
  eventOf?: (run: RunRow) => AuditEvent;
};

/** Starts a new attempt of an ended run; what the attempts before left stays. */
export async function rerunRun(deps: StartDeps, { runId, scope, ifAttempt, eventOf }: Rerun): Promise<RunRow> {
  const outcome = await deps.sql.begin(async (transaction) => {
    const run = await lockRun(transaction, runId);
    if (run && ifAttempt !== undefined && run.attempt > ifAttempt) return { run, jobs: [], stops: [] };
    if (!run || !hasRunEnded(run.state)) {
      throw new AgynError("STATE", "the run is live: wait for its end, or cancel it");
    }
    const before = new Map((await listJobsOfAttempt(transaction, runId, run.attempt)).map((row) => [row.name, row]));
    const read = planOf(run, [...before.keys()]);
    if ("problem" in read) throw new AgynError("STATE", `the run cannot be run again: ${read.problem}`);
    const plan = read.value.jobs;
    const redone = jobsToRedo(plan, before, scope);
    if (redone.size === 0) throw new AgynError("STATE", "no job of it failed: there is nothing to run again");
    const { maximumQueued: maximum } = await getQueueLimits(transaction, run.organizationId);
    const room = { jobs: redone.size, maximum, depth: deps.queueDepth(run.organizationId) };
    if (!isRoomFar(room)) await demandRoom(transaction, run.organizationId, room);
    const next = await beginAttempt(transaction, runId, run.definition.timeout_ms);
    await wakeReport(transaction, runId);
    if (eventOf) await insertAuditEvent(transaction, eventOf(next));
    const priorityOf = (job: PlannedJob) => before.get(job.name)!.priority;
    const reserved = await reserveJobKeys(transaction, plan.size);
    const jobs = newJobs(next, [...plan.values()], { ...reserved, priorityOf }).map((row) =>
      redone.has(row.name) ? row : reuse(row, before.get(row.name)!),
    );
    await insertJobs(transaction, toNewJobs(jobs));
    return (await advanceHeldRun(deps, transaction, { run: next, jobs }))!;
  });
  deps.onAdvanced(outcome);
  return outcome.run;
}

/** A job that keeps the result of the attempt before. */
function reuse(row: HeldJob, before: JobRow): HeldJob {
  return { ...row, ...unchanged(before), id: row.id, reused: true };
}

/** Names of the jobs that run again: those asked for, and all that depend on them. */
export function jobsToRedo(
  plan: ReadonlyMap<string, PlannedJob>,
  before: ReadonlyMap<string, Pick<JobRow, "state" | "skipCause">>,
  scope: RerunScope,
): Set<string> {
  const isAsked = ({ name, key }: PlannedJob): boolean => {
    if (scope.kind === "job") return name === scope.name || key === scope.name;
    const { state, skipCause } = before.get(name)!;
    const hasFailed = state === "failed" || state === "cancelled";
    return scope.kind === "all" || hasFailed || (state === "skipped" && skipCause !== "condition");
  };
  const redone = new Set([...plan.values()].filter(isAsked).map((job) => job.name));
  if (scope.kind === "job" && redone.size === 0) {
    throw new AgynError(
      "NOT_FOUND",
      `there is no job "${scope.name}" in the run; it has ${[...plan.keys()].join(", ")}`,
    );
  }
  const dependents = new Map<string, string[]>();
  for (const { name, needs } of plan.values()) {
    for (const need of needs) dependents.set(need, [...(dependents.get(need) ?? []), name]);
  }
  // A set hands out what is added while it is walked.
  for (const name of redone) for (const dependent of dependents.get(name) ?? []) redone.add(dependent);
  return redone;
}
