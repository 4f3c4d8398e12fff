/* The jobs of an attempt that begins: decided on before they are in the store, as held ones are after. */
import type { PlannedJob } from "../../../pipelines/pipeline.ts";
import { createId } from "../../../wire/ids.ts";
import type { HeldJob, JobChange, NewJob } from "../store/jobs.ts";
import type { RunRow } from "../store/runs.ts";
import { unchanged } from "./job-change.ts";

type Attempt = Pick<RunRow, "id" | "organizationId" | "projectId" | "number" | "attempt" | "labels" | "cause">;

/** Blocked, in the pipeline's order; `keys` are reserved for them, `now` is the store's time. */
export function newJobs(
  run: Attempt,
  jobs: readonly PlannedJob[],
  { keys, now, priorityOf }: { keys: readonly bigint[]; now: Date; priorityOf: (job: PlannedJob) => number },
): HeldJob[] {
  const { id: runId, organizationId, projectId, attempt, labels } = run;
  return jobs.map((job, index) => ({
    key: keys[index]!,
    id: createId("job"),
    ...{ organizationId, projectId, runId, runNumber: run.number, attempt, labels },
    name: job.name,
    definition: job.key,
    matrix: job.matrix,
    needs: [...job.needs],
    priority: priorityOf(job),
    matrixLimit: job.definition.matrix?.maxParallel ?? 0,
    createdBy: run.cause.userId || run.cause.triggerId,
    ...{ state: "blocked", message: "", skipCause: null, verdict: "", demand: null, rank: "", tag: 0 },
    ...{ concurrencyGroup: "", concurrencyLimit: 0, cancelsOlder: false, try: 1, maximumTries: 1 },
    ...{ retryOnLost: false, lostAfter_ms: null, workloadId: null, workloadKey: null, runnerId: null, workloadIds: [] },
    ...{ stopRequested: false, exitCode: null, outputs: {}, reused: false },
    ...{ queueTime: null, availableTime: null, queueDeadline: null, startTime: null, endTime: null },
    ...{ changeXid: "", isPastDeadline: false, now, ended: null },
  }));
}

/** What is inserted of jobs that become these changes. */
export function toNewJobs(rows: readonly HeldJob[], changes: ReadonlyMap<string, JobChange> = new Map()): NewJob[] {
  return rows.map((row) => {
    const { key, organizationId, projectId, runId, runNumber, attempt, name, definition, matrix, needs, labels } = row;
    const { priority, matrixLimit, createdBy } = row;
    return {
      ...{ key, organizationId, projectId, runId, runNumber, attempt, name, definition, matrix, needs, labels },
      ...{ priority, matrixLimit, createdBy, ...(changes.get(row.id) ?? unchanged(row)) },
    };
  });
}
