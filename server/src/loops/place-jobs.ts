import type { Logger } from "pino";
import { createId } from "../../../wire/ids.ts";
import type { LiveJob } from "../domain/job-buckets.ts";
import type { Sql } from "../store/database.ts";
import { claimJobs, type ClaimedJob, type JobPick } from "../store/job-claims.ts";
import type { PlacingGuard, Writer } from "../store/workload-transitions.ts";
import { listJobsById } from "../store/jobs.ts";
import type { FleetState } from "./fleet-state.ts";
import type { QueueState } from "./queue-state.ts";

export type JobPlacerDeps = {
  sql: Sql;
  writer: Writer;
  log: Logger;
  fleet: FleetState;
  state: QueueState;
  random: (bound: number) => number;
  /** By which right this replica places; `undefined` where it does not lead. */
  guard: () => PlacingGuard | undefined;
  /** The guard refused placements: somebody else leads, or the fleet changed. */
  onRefused: () => Promise<void>;
  /** Finds out which of these workloads are placed, of a write that was not answered. */
  settle: (workloadIds: readonly string[]) => Promise<void>;
  /** Whether a runner is connected here, so that its placements are sent from here. */
  isHere: (runnerId: string) => boolean;
  /** Placements that are in the store. */
  deliver: (claimed: ClaimedJob) => void;
  /** Jobs of these runs were taken. */
  onTaken: (runIds: ReadonlySet<string>) => void;
};

/** Takes jobs from the queue and places them, as long as this replica leads (I10). */
export interface JobPlacer {
  /** Something changed that may let a job go. */
  wake(): void;
  stop(): Promise<void>;
}

const batchLimit = 500;
const nobody: ReadonlySet<string> = new Set();

/** Takes nothing until it is woken. */
export function createJobPlacer(deps: JobPlacerDeps): JobPlacer {
  const { sql, writer, fleet, state, log } = deps;
  let dirty = false;
  let stopped = false;
  let pumping: Promise<void> | undefined;
  /** In which this replica has read the queue since it leads. */
  let epoch: bigint | undefined;
  let alarm: NodeJS.Timeout | undefined;
  /** Picks whose claim was not answered: it may have been made. */
  let doubtful: JobPick[] = [];

  const choose = (): (JobPick & { job: LiveJob })[] => {
    const picks: (JobPick & { job: LiveJob })[] = [];
    state.queue.take(Date.now(), (job) => {
      if (picks.length === batchLimit) {
        dirty = true;
        return undefined;
      }
      const pick = fleet.index.pick(job.demand, nobody, deps.random);
      if (pick.kind === "none") return undefined;
      const workloadId = createId("workload");
      const { runnerId } = pick;
      fleet.occupy(workloadId, runnerId, job.demand.resources);
      picks.push({ jobId: job.id, workloadId, runnerId, isHere: deps.isHere(runnerId), job });
      return runnerId;
    });
    return picks;
  };
  const putBack = (picks: readonly (JobPick & { job: LiveJob })[]) => {
    for (const { workloadId, job } of picks) {
      fleet.vacate(workloadId);
      if (state.queue.get(job.id)) state.queue.set(job);
    }
  };
  const settleDoubts = async () => {
    const doubted = doubtful;
    await deps.settle(doubted.map((one) => one.workloadId));
    const rows = await listJobsById(
      sql,
      doubted.map((one) => one.jobId),
    );
    state.take(rows);
    deps.onTaken(new Set(rows.filter((row) => row.state === "running").map((row) => row.runId)));
    doubtful = doubtful.filter((one) => !doubted.includes(one));
  };
  const turn = async () => {
    if (doubtful.length > 0) await settleDoubts();
    const guard = deps.guard();
    if (!guard) return;
    if (guard.epoch !== epoch) {
      // What former leaders claimed counts for limits, and is all there once they cannot claim any more.
      await state.refresh();
      epoch = guard.epoch;
    }
    const picks = choose();
    if (picks.length === 0) return;
    const claimed = await claimJobs(sql, writer, guard, picks).catch((error: unknown) => {
      doubtful.push(...picks);
      throw error;
    });
    const done = new Set(claimed.map((one) => one.jobId));
    for (const one of claimed) deps.deliver(one);
    deps.onTaken(new Set(picks.filter((one) => done.has(one.jobId)).map((one) => one.job.runId)));
    const refused = picks.filter((one) => !done.has(one.jobId));
    if (refused.length === 0) return;
    putBack(refused);
    await deps.onRefused();
    await state.refresh();
  };
  const pump = () => {
    pumping ??= (async () => {
      while (dirty && !stopped) {
        dirty = false;
        try {
          await turn();
        } catch (error) {
          // What is in doubt is looked at again when somebody wakes the queue next, not at once for ever.
          log.error({ err: error }, "placing jobs failed");
          return;
        }
      }
      schedule();
    })().finally(() => {
      pumping = undefined;
    });
  };
  /** A retry that waits its back-off out wakes the queue when it is over; where nothing is taken, it stays due, and would at once again. */
  const schedule = () => {
    clearTimeout(alarm);
    if (stopped || !deps.guard()) return;
    const wait_ms = state.queue.nextAvailable_ms - Date.now();
    if (wait_ms < longestWait_ms) alarm = setTimeout(wake, Math.max(0, wait_ms)).unref();
  };
  const wake = () => {
    dirty = true;
    pump();
  };
  return {
    wake,
    async stop() {
      stopped = true;
      clearTimeout(alarm);
      await pumping;
    },
  };
}

/** Longer waits are left to the loop that wakes the queue by period. */
const longestWait_ms = 60_000;
