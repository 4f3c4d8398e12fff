import { deriveJobState, deriveRunState, hasJobEnded, hasRunEnded } from "../../server/src/domain/run-state.ts";
import { isTerminal } from "../../server/src/domain/workload.ts";
import type { Sql } from "../../server/src/store/database.ts";
import { listChangedJobs, type JobRow } from "../../server/src/store/jobs.ts";
import { listChangedRuns, type RunRow } from "../../server/src/store/runs.ts";
import { getHorizon } from "../../server/src/store/workloads.ts";
import type { Invariants } from "./invariants.ts";

/** Looks after every statement whether the store holds what is promised of runs and their jobs. */
export interface RunInvariants {
  /** A client was told that this run is there. */
  noteStarted(runId: string): void;
  /** Reads what changed, and reports every fault; after the workloads were read. */
  check(): Promise<void>;
  readonly runs: ReadonlyMap<string, RunRow>;
  readonly jobs: ReadonlyMap<string, JobRow>;
}

/** What waits unchanged for so long is known to whoever leads: two periods, and what delays and lost answers add to them. */
const settled_ms = 15_000;
const order = { blocked: 0, queued: 1, running: 2, succeeded: 3, failed: 3, cancelled: 3, skipped: 3 } as const;

export function createRunInvariants(sql: Sql, { workloads, report }: Pick<Invariants, "workloads" | "report">) {
  const jobs = new Map<string, JobRow>();
  const runs = new Map<string, RunRow>();
  const started = new Set<string>();
  /** Since when a job stands where it stands. */
  const since = new Map<string, number>();
  let lastXid = "0";

  const checkJob = (before: JobRow | undefined, after: JobRow) => {
    const { id, state } = after;
    if (before && hasJobEnded(before.state)) {
      if (endOf(before) !== endOf(after)) report(`I3: ${id} ended as ${endOf(before)} and became ${endOf(after)}`);
      return;
    }
    const was = before?.state ?? "blocked";
    if (was === "running") return checkTried(before!, after);
    if (order[state] < order[was]) report(`${id} went back from ${was} to ${state}`);
    if (state !== "running") return;
    const { workloadIds, workloadId } = after;
    const isOne = workloadIds.length === (before?.workloadIds.length ?? 0) + 1 && workloadIds.at(-1) === workloadId;
    if (!isOne) report(`I1: ${id} was claimed, and has ${workloadIds.join(", ")}`);
    checkTurn(after);
  };

  /** What becomes of a job that ran is what became of its workload. */
  const checkTried = (before: JobRow, after: JobRow) => {
    const { id, state, stopRequested } = after;
    const workload = workloads.get(before.workloadId!);
    if (state === "running") {
      if (after.workloadId !== before.workloadId) report(`I1: ${id} was claimed while ${before.workloadId} ran`);
      return;
    }
    if (!workload || !isTerminal(workload.phase))
      return report(`${id} is ${state} while ${before.workloadId} is ${workload?.phase}`);
    if (state === "queued") {
      const mayRetry = (workload.phase === "lost" || workload.phase === "failed") && !stopRequested;
      if (!mayRetry || after.try !== before.try + 1 || after.try > after.maximumTries)
        report(`${id} is tried again as ${after.try} after try ${before.try} was ${workload.phase}`);
      return;
    }
    const derived = deriveJobState({ evaluation: "run", cancelled: false, phase: workload.phase });
    if (state !== derived) report(`${id} is ${state}, and its workload ${workload.phase}`);
  };

  /** Of jobs that ask for the same and are held by the same, none that waits for long is passed over. */
  const checkTurn = (claimed: JobRow) => {
    const now = Date.now();
    // One that was moved after it was chosen is claimed all the same.
    if ((since.get(claimed.id) ?? now) > now - settled_ms) return;
    for (const other of jobs.values()) {
      const waits = other.state === "queued" && since.get(other.id)! < now - settled_ms;
      if (!waits || bucketOf(other) !== bucketOf(claimed) || !isBefore(other, claimed)) continue;
      if ((other.availableTime?.getTime() ?? 0) > now - settled_ms) continue;
      report(`${claimed.id} was claimed before ${other.id}, which waits before it: ${other.message}`);
    }
  };

  /** I1: what lives for a job is its one workload, and a job that runs has one. */
  const checkPairs = () => {
    for (const { id, jobId, phase } of workloads.values()) {
      if (jobId === null || isTerminal(phase)) continue;
      const job = jobs.get(jobId);
      if (job?.state !== "running" || job.workloadId !== id)
        report(`I1: ${id} is ${phase} for ${jobId}, which is ${job?.state} by ${job?.workloadId}`);
    }
    for (const { id, state, workloadId } of jobs.values())
      if (state === "running" && !workloads.has(workloadId!)) report(`I1: ${id} runs without a workload`);
  };

  const checkRun = (run: RunRow, before: RunRow | undefined) => {
    const own = [...jobs.values()].filter((one) => one.runId === run.id && one.attempt === run.attempt);
    const derived = deriveRunState(own.map((one) => one.state));
    // A claim changes the job alone: what has begun since shows when the run is next taken on.
    const isWhole = own.every((one) => BigInt(one.changeXid) <= BigInt(run.changeXid));
    const agrees = isWhole ? derived === run.state : hasRunEnded(derived) === hasRunEnded(run.state);
    if (!agrees) report(`${run.id} is ${run.state}, and its jobs make it ${derived}`);
    if (hasRunEnded(run.state) !== (run.endTime !== null))
      report(`${run.id} is ${run.state}, ended ${String(run.endTime)}`);
    if (!before || !hasRunEnded(before.state) || run.attempt > before.attempt) return;
    if (before.state !== run.state || Number(before.endTime) !== Number(run.endTime))
      report(`I3: ${run.id} ended as ${before.state} and became ${run.state}`);
  };

  /** Limits that never change are never passed. */
  const checkLimits = async () => {
    const running = [...jobs.values()].filter((one) => one.state === "running");
    const limited: [string, number][] = [
      ...running.map(
        (one) => [`group ${one.projectId} ${one.concurrencyGroup}`, one.concurrencyLimit] as [string, number],
      ),
      ...running.map(
        (one) => [`matrix ${one.runId} ${one.attempt} ${one.definition}`, one.matrixLimit] as [string, number],
      ),
    ].filter(([, limit]) => limit > 0);
    const bounds = await sql<{ id: string; limit: number }[]>`
      select id, maximum_running_jobs as limit from organization union all select id, maximum_running_jobs from project`;
    for (const { id, limit } of bounds)
      for (const one of running)
        if (limit > 0 && (one.organizationId === id || one.projectId === id)) limited.push([id, limit]);
    for (const [what, ones] of Map.groupBy(limited, ([name]) => name))
      if (ones.length > ones[0]![1]) report(`${what} has ${ones.length} jobs running, more than ${ones[0]![1]}`);
    const groups = await sql<{ group: string; count: number }[]>`
      select concurrency_group as "group", count(*)::int as count from run where admitted and end_time is null
      group by organization_id, project_id, concurrency_group having count(*) > min(concurrency_limit)`;
    for (const { group, count } of groups) report(`the group ${group} has ${count} runs at once`);
  };

  return {
    runs,
    jobs,
    noteStarted: (runId: string) => void started.add(runId),
    async check() {
      const horizon = await getHorizon(sql);
      const changedJobs = await listChangedJobs(sql, lastXid);
      const changedRuns = await listChangedRuns(sql, lastXid);
      for (const row of changedJobs) {
        const before = jobs.get(row.id);
        checkJob(before, row);
        if (!before || placeOf(before) !== placeOf(row)) since.set(row.id, Date.now());
        jobs.set(row.id, row);
      }
      for (const row of changedRuns) {
        checkRun(row, runs.get(row.id));
        runs.set(row.id, row);
      }
      lastXid = horizon;
      for (const id of new Set(changedJobs.map((one) => one.runId))) checkRun(runs.get(id)!, runs.get(id));
      checkPairs();
      if (changedJobs.length > 0) await checkLimits();
      for (const id of started) if (!runs.has(id)) report(`I4: ${id} was started and is not there`);
    },
  };
}

/** What of an ended job must not change. */
function endOf({ state, message, workloadIds, runnerId, exitCode, outputs, endTime }: JobRow): string {
  return JSON.stringify([state, message, workloadIds, runnerId, exitCode, outputs, endTime]);
}

function placeOf({ state, priority, rank, availableTime }: JobRow): string {
  return JSON.stringify([state, priority, rank, availableTime]);
}

/** Without a matrix that bounds its jobs, for those are held apart. */
function bucketOf({
  demand,
  organizationId,
  projectId,
  concurrencyGroup,
  runId,
  matrixLimit,
  definition,
}: JobRow): string {
  const matrix = matrixLimit > 0 ? [runId, definition] : [];
  return JSON.stringify([demand, organizationId, projectId, concurrencyGroup, ...matrix]);
}

function isBefore(one: JobRow, other: JobRow): boolean {
  if (one.priority !== other.priority) return one.priority > other.priority;
  if (one.rank !== other.rank) return one.rank < other.rank;
  return one.key < other.key;
}
