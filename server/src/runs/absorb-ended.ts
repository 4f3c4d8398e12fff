import type { PlannedJob } from "../../../pipelines/pipeline.ts";
import { deriveJobState, retryAfter_ms } from "../domain/run-state.ts";
import type { EndedWorkload, HeldJob, JobChange } from "../store/jobs.ts";
import { changeOf } from "./job-change.ts";
import type { StoredPlan } from "./stored-plan.ts";

/** What ended workloads mean for their jobs: an end, or another try. */
export function absorbEnded(held: readonly HeldJob[], changes: Map<string, JobChange>, { jobs }: StoredPlan): void {
  for (const row of held) {
    if (row.ended) endTry(changeOf(changes, row), row, { workload: row.ended, planned: jobs.get(row.name)! });
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
  // Where its first runner rejected it, another has run it.
  change.runnerId = workload.runnerId ?? row.runnerId;
  const declared = new Set(planned.definition.outputs);
  change.outputs = Object.fromEntries(Object.entries(result?.outputs ?? {}).filter(([name]) => declared.has(name)));
}

/** How long the job may wait, by what it was given when it first joined the queue. */
function queueTime_ms(row: HeldJob): number {
  return row.queueDeadline!.getTime() - (row.availableTime ?? row.queueTime!).getTime();
}
