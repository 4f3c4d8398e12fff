import { requestCancel, type RunRow } from "../store/runs.ts";
import { hasRunEnded } from "../domain/run-state.ts";
import type { JobRow } from "../store/jobs.ts";
import { advanceHeldRun, advanceRun, type AdvanceDeps, type Advanced } from "./advance-run.ts";
import type { JobCancellation } from "./decide-held-run.ts";
import { holdRun } from "./held-run.ts";

/** How a run is to end. */
export type Cancellation = { reason: string; grace_ms: number | null };

/** Answers the run as it then is, or `undefined` where it has ended before. */
export type CancelRun = (runId: string, cancellation: Cancellation) => Promise<RunRow | undefined>;

export type CancelDeps = AdvanceDeps & {
  /** The workloads of a run that live. */
  liveWorkloads: (runId: string) => Promise<string[]>;
  /** Asks for the end of workloads. */
  stopWorkloads: (workloadIds: readonly string[], stop: { reason: string; grace_ms: number | null }) => Promise<void>;
  onAdvanced: (advanced: Advanced) => void;
};

/**
 * Its queued jobs end at once, its running ones are asked to; those whose conditions hold in a cancelled run go on. Asked a
 * second time, all of them are ended, without a grace.
 */
export function createCancelRun(deps: CancelDeps): CancelRun {
  return async (runId, { reason, grace_ms }) => {
    const outcome = await deps.sql.begin(async (transaction) => {
      const held = await holdRun(transaction, runId);
      if (!held || hasRunEnded(held.run.state)) return undefined;
      const { run } = held;
      const isRepeated = run.cancelRequested;
      const message = reason === "" ? "the run was cancelled" : reason;
      if (!isRepeated) await requestCancel(transaction, runId, message);
      const advanced = await advanceHeldRun(
        deps,
        transaction,
        { ...held, run: { ...run, cancelRequested: true, message } },
        isRepeated ? "all" : undefined,
      );
      return { run: advanced?.run ?? { ...run, cancelRequested: true }, advanced, isRepeated };
    });
    if (!outcome) return undefined;
    const { advanced, run, isRepeated } = outcome;
    if (isRepeated) await deps.stopWorkloads(await deps.liveWorkloads(runId), { reason: run.message, grace_ms: 0 });
    else if (advanced) {
      await deps.stopWorkloads(
        advanced.stops.map((one) => one.workloadId),
        { reason: run.message, grace_ms },
      );
    }
    if (advanced) deps.onAdvanced({ ...advanced, stops: [] });
    return run;
  };
}

/** Ends jobs of one run; answers those that have ended with it. */
export async function cancelJobs(
  deps: AdvanceDeps & Pick<CancelDeps, "onAdvanced">,
  runId: string,
  cancellation: JobCancellation,
): Promise<JobRow[]> {
  const advanced = await advanceRun(deps, runId, cancellation);
  if (!advanced) return [];
  deps.onAdvanced(advanced);
  return advanced.jobs.filter((one) => cancellation.jobIds.has(one.id) && one.state === "cancelled");
}
