import type { JobDefinition, PlannedJob, RunContext } from "../../../pipelines/pipeline.ts";
import { derivedOf, endingOf } from "./derive-run.ts";
import { decideRun, type JobStep } from "./decide-run.ts";
import { rankOf } from "../domain/rank.ts";
import { defaultLostAfter_ms } from "../domain/workload.ts";
import { deriveJobState, hasRunEnded, retryAfter_ms, type JobState } from "../domain/run-state.ts";
import type { MasterKey } from "../identity/master-key.ts";
import { sealSpec } from "../identity/sealed-spec.ts";
import type { Sql, SqlOrTransaction } from "../store/database.ts";
import type { ArtifactRow } from "../store/artifacts.ts";
import { holdJobs, lastTag, saveJobs, type HeldJob, type JobChange, type JobRow } from "../store/jobs.ts";
import { getProjectWeight } from "../store/projects.ts";
import { clearAdvanceRequest, lockRun, saveDerived, type RunRow, type WholeRun } from "../store/runs.ts";
import { listEnded, type EndedWorkload } from "../store/workloads.ts";
import { artifactsOf, bundleFault, bundleOf, expectArtifacts, resolveDownloads, uploadFault } from "./job-artifacts.ts";
import { toJobWorkload } from "./job-workload.ts";
import { planJobs } from "../../../pipelines/plan-jobs.ts";

/** The values of the named secrets that a run's jobs may have; a missing one is in no answer. */
export type ReadSecrets = (
  sql: SqlOrTransaction,
  run: Pick<RunRow, "organizationId" | "projectId" | "cause">,
  names: readonly string[],
) => Promise<ReadonlyMap<string, string>>;

export type AdvanceDeps = {
  sql: Sql;
  masterKey: MasterKey;
  readSecrets: ReadSecrets;
  /** How long a job may wait for a runner where it does not say. */
  queueTimeout_ms: number;
  /** How long artifacts are kept where nobody says. */
  artifactRetention_ms: number;
};

/** What an advance came to: the records that changed, and the workloads that are to end. */
export type Advanced = { run: RunRow; jobs: JobRow[]; stops: { workloadId: string; reason: string }[] };

/** Queued jobs of a run that are to end, whatever becomes of the others. */
export type JobCancellation = { jobIds: ReadonlySet<string>; reason: string };

/** Takes a run as far as it goes now: absorbs ended workloads, and writes what follows, in one transaction (I10). */
export async function advanceRun(deps: AdvanceDeps, runId: string): Promise<Advanced | undefined> {
  return deps.sql.begin(async (transaction) => {
    const run = await lockRun(transaction, runId);
    return run && advanceHeldRun(deps, transaction, run);
  });
}

/** The same for a run that the caller's transaction holds. */
export async function advanceHeldRun(
  deps: AdvanceDeps,
  sql: SqlOrTransaction,
  run: WholeRun,
  cancellation?: JobCancellation,
): Promise<Advanced | undefined> {
  const plan = planOf(run);
  const held = await holdJobs(sql, run.id, run.attempt);
  const changes = new Map<string, JobChange>();
  await clearAdvanceRequest(sql, run.id);
  await absorbEnded(sql, { held, plan, changes });
  await expectArtifacts(sql, { held, plan, changes, retention_ms: deps.artifactRetention_ms });
  const now = held[0]?.now ?? new Date();
  for (const row of held) {
    if (row.state !== "queued" || !cancellation?.jobIds.has(row.id)) continue;
    const change = unchanged(row);
    applyStep(change, { kind: "cancel", reason: cancellation.reason }, now);
    changes.set(row.id, change);
  }
  const artifacts = await artifactsOf(sql, { held, plan, changes });
  const steps = decideRun({
    inputs: run.inputs,
    run: contextOf(run),
    env: run.definition.env,
    ending: endingOf(run),
    cancelled: run.cancelRequested,
    jobs: held.map((row) => ({
      ...(changes.get(row.id) ?? row),
      planned: plan.get(row.name)!,
      stopRequested: row.stopRequested,
      isUploading: artifacts.some((one) => one.state === "uploading" && one.workloadId === row.workloadId),
    })),
  });
  const stops: Advanced["stops"] = [];
  const queued: JobRow[] = [];
  for (const row of held) {
    const step = steps.get(row.name) ?? expiredStep(changes.get(row.id)?.state ?? row.state, row);
    if (!step) continue;
    const change = changes.get(row.id) ?? unchanged(row);
    changes.set(row.id, change);
    if (step.kind === "queue") queued.push(row);
    if (step.kind === "stop") stops.push({ workloadId: row.workloadId!, reason: step.reason });
    applyStep(change, step, now);
  }
  await enqueue(deps, sql, { run, held, artifacts, rows: queued, steps, plan, changes, now });
  if (changes.size === 0 && (held.length > 0 || hasRunEnded(run.state))) return undefined;
  const jobs = await saveJobs(sql, [...changes.values()]);
  const standing = held.map((row) => ({ ...row, ...changes.get(row.id) }));
  return { run: await saveDerived(sql, derivedOf(run, standing, now)), jobs, stops };
}

/** The plan of a stored run, by job name: planning the same again gives the same. */
export function planOf(run: WholeRun): Map<string, PlannedJob> {
  const planned = planJobs(run.definition, { inputs: run.inputs, run: contextOf(run) });
  if ("problems" in planned) throw new Error(`the plan of run ${run.id} does not hold any more`);
  return new Map(planned.jobs.map((one) => [one.name, one]));
}

export function contextOf(
  run: Pick<WholeRun, "number" | "attempt" | "ref" | "commit" | "cause" | "event">,
): RunContext {
  const { attempt, ref, commit, cause, event } = run;
  return { number: Number(run.number), attempt, ref, commit, trigger: cause.kind, event };
}

/** A job that waited for a runner for as long as it may. */
function expiredStep(state: JobState, row: HeldJob): JobStep | undefined {
  if (state !== "queued" || !row.isPastDeadline) return undefined;
  return { kind: "fail", reason: `no runner took it in its time: ${row.message || "all were busy"}` };
}

type Absorbing = { held: readonly HeldJob[]; plan: ReadonlyMap<string, PlannedJob>; changes: Map<string, JobChange> };

/** What ended workloads mean for their jobs: an end, or another try. */
async function absorbEnded(sql: SqlOrTransaction, { held, plan, changes }: Absorbing): Promise<void> {
  const running = held.filter((row) => row.state === "running");
  if (running.length === 0) return;
  const keys = running.flatMap((row) => row.workloadKey ?? []);
  const found = await listEnded(sql, held[0]!.organizationId, keys);
  const ended = new Map(found.map((one) => [one.key, one]));
  for (const row of running) {
    const workload = ended.get(row.workloadKey!);
    if (!workload) continue;
    const change = unchanged(row);
    endTry(change, row, { workload, planned: plan.get(row.name)! });
    changes.set(row.id, change);
  }
}

function endTry(
  change: JobChange,
  row: HeldJob,
  { workload, planned }: { workload: EndedWorkload; planned: PlannedJob },
): void {
  const { phase, result, message } = workload;
  const stopRequested = row.stopRequested || workload.stopRequested;
  const wait_ms = retryAfter_ms(planned.definition.retries, { phase, result, stopRequested, try: row.try });
  change.exitCode = result?.outcome === "exited" ? result.exitCode : null;
  change.startTime = row.startTime ?? workload.startTime;
  if (wait_ms !== undefined) {
    change.state = deriveJobState({ evaluation: "run", cancelled: false, phase: undefined });
    change.message = `try ${row.try} ${phase}${message === "" ? "" : `: ${message}`}`;
    change.try = row.try + 1;
    change.workloadId = null;
    change.runnerId = null;
    change.availableTime = new Date(row.now.getTime() + wait_ms);
    change.queueTime = row.now;
    change.queueDeadline = new Date(row.now.getTime() + wait_ms + queueTime_ms(row));
    return;
  }
  change.state = deriveJobState({ evaluation: "run", cancelled: false, phase });
  change.message = message;
  change.endTime = workload.endTime;
  const declared = new Set(planned.definition.outputs);
  change.outputs = Object.fromEntries(Object.entries(result?.outputs ?? {}).filter(([name]) => declared.has(name)));
}

/** How long the job may wait, by what it was given when it first joined the queue. */
function queueTime_ms(row: HeldJob): number {
  return row.queueDeadline!.getTime() - (row.availableTime ?? row.queueTime!).getTime();
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

type Enqueuing = {
  run: WholeRun;
  held: readonly HeldJob[];
  artifacts: readonly ArtifactRow[];
  rows: readonly JobRow[];
  steps: ReadonlyMap<string, JobStep>;
  plan: ReadonlyMap<string, PlannedJob>;
  changes: ReadonlyMap<string, JobChange>;
  now: Date;
};

/** Gives jobs that join the queue their spec, their demand and their place. */
async function enqueue(deps: AdvanceDeps, sql: SqlOrTransaction, joining: Enqueuing): Promise<void> {
  const { run, held, artifacts, rows, steps, plan, changes, now } = joining;
  if (rows.length === 0) return;
  const names = new Set(rows.flatMap((row) => Object.values(plan.get(row.name)!.definition.secrets)));
  const known = names.size === 0 ? new Map<string, string>() : await deps.readSecrets(sql, run, [...names]);
  const turn = 1 / (await getProjectWeight(sql, run.projectId));
  const bundle = await bundleOf(sql, run);
  let tag = await lastTag(sql, run.organizationId, run.projectId);
  for (const row of rows) {
    const change = changes.get(row.id)!;
    const { definition } = plan.get(row.name)!;
    const step = steps.get(row.name)! as Extract<JobStep, { kind: "queue" }>;
    const missing = Object.values(step.job.secrets).filter((name) => !known.has(name));
    if (missing.length > 0) {
      applyStep(change, { kind: "fail", reason: `there is no secret ${missing.join(", ")} that it may have` }, now);
      continue;
    }
    const found = resolveDownloads(plan.get(row.name)!, step.job.artifacts, { held, plan, artifacts });
    const fault = uploadFault(step.job.artifacts) ?? bundleFault(run, bundle);
    if (fault !== undefined || "problem" in found) {
      applyStep(change, { kind: "fail", reason: fault ?? ("problem" in found ? found.problem : "") }, now);
      continue;
    }
    const secrets = new Map(Object.entries(step.job.secrets).map(([name, secret]) => [name, known.get(secret)!]));
    const { spec, demand } = toJobWorkload(run, row, { definition, resolved: step.job, secrets, bundle, ...found });
    tag += turn;
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

/** The change that changes nothing. */
export function unchanged(row: JobRow): JobChange {
  const { state, message, skipCause, verdict, demand, rank, tag, concurrencyGroup, concurrencyLimit, cancelsOlder } =
    row;
  const { maximumTries, retryOnLost, workloadId, runnerId, stopRequested, exitCode, outputs, reused } = row;
  const { queueTime, availableTime, queueDeadline, startTime, endTime } = row;
  return {
    ...{
      id: row.id,
      state,
      message,
      skipCause,
      verdict,
      demand,
      rank,
      tag,
      concurrencyGroup,
      concurrencyLimit,
      cancelsOlder,
    },
    ...{ maximumTries, retryOnLost, workloadId, runnerId, stopRequested, exitCode, outputs, reused, try: row.try },
    ...{ queueTime, availableTime, queueDeadline, startTime, endTime, spec: null },
    lostAfter_ms: row.lostAfter_ms === null ? null : Number(row.lostAfter_ms),
  };
}
