/* What becomes of a run, and what its jobs ask of runners then: `advance-run.ts` and `start-run.ts` write it. */
import type { JobDefinition } from "../../../pipelines/pipeline.ts";
import { rankOf } from "../domain/rank.ts";
import { deriveJobState, hasJobEnded, hasRunEnded, type JobState } from "../domain/run-state.ts";
import { defaultLostAfter_ms, demandProblem } from "../domain/workload.ts";
import type { MasterKey } from "../identity/master-key.ts";
import { sealSpec } from "../identity/sealed-spec.ts";
import type { ArtifactRow } from "../store/artifacts.ts";
import type { AuditEvent } from "../store/audit-events.ts";
import type { SqlOrTransaction } from "../store/database.ts";
import { getTurn, type Turn } from "../store/job-order.ts";
import type { HeldJob, JobChange, JobRow } from "../store/jobs.ts";
import { enterGroup } from "../store/run-groups.ts";
import type { DerivedRun, RunRow, WholeRun } from "../store/runs.ts";
import { absorbEnded } from "./absorb-ended.ts";
import { decideRun, type JobStep, type RunStanding } from "./decide-run.ts";
import { derivedOf, endingOf, isOutdated } from "./derive-run.ts";
import type { HeldRun } from "./held-run.ts";
import { bundleOf, filesOf, takeArtifacts } from "./job-artifacts.ts";
import { changeOf } from "./job-change.ts";
import { environmentFault, toJobWorkload } from "./job-workload.ts";
import { reasonWithout, useEvent } from "./secret-uses.ts";
import { contextOf, planOf, readable, type StoredPlan } from "./stored-plan.ts";

/** The values of the named secrets that a run's jobs may have; a missing one is in no answer. */
export type ReadSecrets = (
  sql: SqlOrTransaction,
  run: Pick<RunRow, "organizationId" | "projectId" | "cause">,
  names: readonly string[],
) => Promise<ReadonlyMap<string, string>>;

export type DecideDeps = {
  masterKey: MasterKey;
  readSecrets: ReadSecrets;
  /** How long a job may wait for a runner where it does not say. */
  queueTimeout_ms: number;
  /** How long artifacts are kept where nobody says. */
  artifactRetention_ms: number;
};

/** Jobs of a run that are to end, whatever becomes of the others: those that wait; those that run where that is asked. */
export type JobCancellation = { jobIds: ReadonlySet<string>; reason: string; alsoRunning: boolean };

/** What becomes of a run, not written yet. */
export type Decided = {
  /** What its record takes over. */
  derived: DerivedRun;
  changes: ReadonlyMap<string, JobChange>;
  /** Workloads that are to end. */
  stops: Stop[];
  /** What is to be told of it. */
  events: AuditEvent[];
  /** Whether anything is to be written. */
  isChanged: boolean;
};

export type Stop = { workloadId: string; reason: string };

/**
 * Decides what becomes of a run and its jobs: of one that the caller's transaction holds, or that nobody else knows of yet. The
 * latter is of no group, since its place there would be written to its record. "all" ends its jobs whatever their conditions say.
 */
export async function decideHeldRun(
  deps: DecideDeps,
  sql: SqlOrTransaction,
  { run, jobs: held, turn }: HeldRun,
  cancellation?: JobCancellation | "all",
): Promise<Decided> {
  const advancing: Advancing = {
    ...{ run, held, turn },
    now: held[0]?.now ?? new Date(),
    changes: new Map(),
    stops: [],
    events: [],
    artifacts: [],
  };
  const plan = planOf(
    run,
    held.map((row) => row.name),
  );
  if ("problem" in plan) return breakOff(advancing, plan.problem);
  absorbEnded(held, advancing.changes, plan.value);
  const kept = { held, plan: plan.value.jobs, changes: advancing.changes };
  advancing.artifacts = await takeArtifacts(sql, { ...kept, retention_ms: deps.artifactRetention_ms });
  const endsAll = cancellation === "all";
  if (cancellation && !endsAll) cancelJobs(advancing, cancellation);
  const waitsFor = await groupWait(sql, run, plan.value);
  const decided = readable(() => decideRun(standingOf(advancing, plan.value, { waitsFor, endsAll })));
  if ("problem" in decided) return breakOff(advancing, decided.problem);
  await applySteps(deps, sql, { ...advancing, plan: plan.value, steps: decided.value });
  const concluded = conclude(advancing, run.cancelRequested ? run.message : waitsFor);
  const isSaid = waitsFor === "" || waitsFor === run.message;
  return { ...concluded, isChanged: advancing.changes.size > 0 || isOutdated(run, concluded.derived) || !isSaid };
}

type Advancing = Pick<Decided, "stops" | "events"> & {
  run: WholeRun;
  held: readonly HeldJob[];
  turn: Turn | undefined;
  now: Date;
  changes: Map<string, JobChange>;
  /** What ended jobs keep for others. */
  artifacts: readonly ArtifactRow[];
};
type Deciding = Advancing & { plan: StoredPlan; steps: ReadonlyMap<string, JobStep> };

/** What another of its concurrency group keeps the attempt from beginning; empty: nothing. */
async function groupWait(sql: SqlOrTransaction, run: WholeRun, { concurrency }: StoredPlan): Promise<string> {
  if (!concurrency || run.admitted || hasRunEnded(run.state)) return "";
  const ahead = await enterGroup(sql, run, concurrency);
  return ahead === undefined ? "" : `waits for run ${ahead} of the concurrency group "${concurrency.group}"`;
}

function standingOf(
  { run, held, changes, artifacts }: Advancing,
  { jobs }: StoredPlan,
  { waitsFor, endsAll }: { waitsFor: string; endsAll: boolean },
): RunStanding {
  return {
    inputs: run.inputs,
    run: contextOf(run),
    env: run.definition.env,
    ending: endingOf(run),
    cancelled: run.cancelRequested && !endsAll,
    mayBegin: waitsFor === "",
    jobs: held.map((row) => {
      const isUploading = artifacts.some((one) => one.state === "uploading" && one.workloadId === row.workloadId);
      return { ...(changes.get(row.id) ?? row), planned: jobs.get(row.name)!, isUploading };
    }),
  };
}

/** What the run's record takes over from its jobs, and that it ends. */
function conclude({ run, held, now, changes, stops, events }: Advancing, message: string): Omit<Decided, "isChanged"> {
  const standing = held.map((row) => ({ ...row, ...changes.get(row.id) }));
  const derived = derivedOf({ ...run, message }, standing, now);
  const ends = hasRunEnded(derived.state) && !hasRunEnded(run.state);
  return { derived, changes, stops, events: ends ? [...events, endEvent({ ...run, ...derived })] : events };
}

/** The end of a run, which nobody asks for by itself. */
function endEvent({
  id,
  organizationId,
  number,
  attempt,
  state,
  message,
}: Omit<RunRow, keyof DerivedRun> & DerivedRun): AuditEvent {
  return {
    scope: { kind: "organization", organizationId },
    ...{ actor: "server", action: "run.end", objectId: id, objectName: String(number), outcome: state },
    details: { attempt: String(attempt), ...(message !== "" && { message }) },
  };
}

/** Ends a run whose stored pipeline this server cannot follow: for all to see, rather than again and again in vain. */
function breakOff(advancing: Advancing, problem: string): Decided {
  const message = `the run cannot be taken on: ${problem}`;
  const { held, changes, stops, now, run } = advancing;
  for (const row of held.filter((one) => !hasJobEnded(one.state))) {
    const change = changeOf(changes, row);
    if (hasJobEnded(change.state)) continue;
    if (row.workloadId !== null) stops.push({ workloadId: row.workloadId, reason: message });
    applyStep(change, { kind: "fail", reason: message }, now);
  }
  return { ...conclude(advancing, message), isChanged: changes.size > 0 || !hasRunEnded(run.state) };
}

function cancelJobs({ held, changes, stops, now }: Advancing, { jobIds, reason, alsoRunning }: JobCancellation): void {
  for (const row of held.filter((one) => jobIds.has(one.id))) {
    const state = changes.get(row.id)?.state ?? row.state;
    if (state === "queued") applyStep(changeOf(changes, row), { kind: "cancel", reason }, now);
    if (state !== "running" || !alsoRunning || row.stopRequested) continue;
    applyStep(changeOf(changes, row), { kind: "stop", reason }, now);
    stops.push({ workloadId: row.workloadId!, reason });
  }
}

async function applySteps(deps: DecideDeps, sql: SqlOrTransaction, deciding: Deciding): Promise<void> {
  const { held, changes, steps, stops, now } = deciding;
  const queued: JobRow[] = [];
  for (const row of held) {
    const state = changes.get(row.id)?.state ?? row.state;
    const step = steps.get(row.name) ?? unreadableStep(state, row) ?? expiredStep(state, row);
    if (!step) continue;
    if (step.kind === "queue") queued.push(row);
    if (step.kind === "stop") stops.push({ workloadId: row.workloadId!, reason: step.reason });
    applyStep(changeOf(changes, row), step, now);
  }
  await enqueue(deps, sql, queued, deciding);
}

/** A job whose record no queue can hold: it fails for all to see, and the others go on. */
function unreadableStep(state: JobState, { demand }: HeldJob): JobStep | undefined {
  const problem = state === "queued" ? demandProblem(demand) : undefined;
  return problem === undefined ? undefined : { kind: "fail", reason: `its record cannot be read: ${problem}` };
}

/** A job that waited for a runner for as long as it may. */
function expiredStep(state: JobState, row: HeldJob): JobStep | undefined {
  if (state !== "queued" || !row.isPastDeadline) return undefined;
  return { kind: "fail", reason: `no runner took it in its time: ${row.message || "all were busy"}` };
}

const evaluations = { queue: "run", skip: "skip", fail: "problems", cancel: undefined } as const;

function applyStep(change: JobChange, step: JobStep, now: Date): void {
  change.message = step.reason;
  if (step.kind === "stop") {
    change.stopRequested = true;
    return;
  }
  const evaluation = evaluations[step.kind];
  change.state = deriveJobState({ evaluation, cancelled: step.kind === "cancel", phase: undefined });
  if (step.kind === "queue") {
    change.message = "";
    change.queueTime = now;
    return;
  }
  if (step.kind === "skip") change.skipCause = step.cause;
  change.endTime = now;
}

/** Gives jobs that join the queue their spec, their demand and their place. */
async function enqueue(
  deps: DecideDeps,
  sql: SqlOrTransaction,
  rows: readonly JobRow[],
  { run, held, turn, artifacts, steps, plan, changes, events, now }: Deciding,
): Promise<void> {
  if (rows.length === 0) return;
  const names = new Set(rows.flatMap((row) => Object.values(plan.jobs.get(row.name)!.definition.secrets)));
  const known = names.size === 0 ? new Map<string, string>() : await deps.readSecrets(sql, run, [...names]);
  const [{ last, weight }, bundle] = await Promise.all([
    turn ?? getTurn(sql, run.organizationId, run.projectId),
    bundleOf(sql, run),
  ]);
  let tag = last;
  for (const row of rows) {
    const change = changes.get(row.id)!;
    const { definition } = plan.jobs.get(row.name)!;
    const step = steps.get(row.name)! as Extract<JobStep, { kind: "queue" }>;
    const missing = Object.values(step.job.secrets).filter((name) => !known.has(name));
    if (missing.length > 0) {
      applyStep(change, { kind: "fail", reason: reasonWithout(missing, run) }, now);
      continue;
    }
    const secrets = new Map(Object.entries(step.job.secrets).map(([name, secret]) => [name, known.get(secret)!]));
    const files = filesOf(run, plan.jobs.get(row.name)!, { job: step.job, bundle, held, plan: plan.jobs, artifacts });
    const { spec, demand } = toJobWorkload(run, row, { definition, resolved: step.job, secrets, ...files });
    const fault = files.problem ?? environmentFault(spec);
    if (fault !== undefined) {
      applyStep(change, { kind: "fail", reason: fault }, now);
      continue;
    }
    for (const name of new Set(Object.values(step.job.secrets))) events.push(useEvent(run, { name, job: row }));
    tag += 1 / weight;
    change.spec = Buffer.from(sealSpec(spec, run.organizationId, deps.masterKey)).toString("base64");
    change.demand = demand;
    change.tag = tag;
    change.rank = rankOf(tag, row.key);
    change.concurrencyGroup = step.job.concurrency?.group ?? "";
    change.concurrencyLimit = step.job.concurrency?.limit ?? 0;
    change.cancelsOlder = step.job.concurrency?.onConflict === "cancel_older";
    change.queueDeadline = new Date(now.getTime() + (definition.queueTimeout_ms ?? deps.queueTimeout_ms));
    Object.assign(change, lossOf(definition));
  }
}

/** How a job's tries are given up: as a workload's, which its retries stand for. */
function lossOf({
  retries,
  lostAfter_ms,
}: JobDefinition): Pick<JobChange, "maximumTries" | "retryOnLost" | "lostAfter_ms"> {
  const retryOnLost = retries?.on.includes("lost") ?? false;
  return {
    maximumTries: (retries?.max ?? 0) + 1,
    retryOnLost,
    lostAfter_ms: lostAfter_ms === "never" ? null : (lostAfter_ms ?? defaultLostAfter_ms(retryOnLost)),
  };
}
