import type { HeldResult, Holding, HoldingRef, Placement, StopOrder } from "../../runner/src/holding.ts";
import { holdingKey } from "../../runner/src/holding.ts";
import { resultWithout } from "../../runner/src/results.ts";
import type { Contact } from "../../runner/src/holdings.ts";
import type { Simulation } from "./world.ts";

/** What a runner keeps of a placement on its disk. */
export type Kept = { placement: Placement; stop?: StopOrder; result?: HeldResult; acknowledged: boolean };

/** A job on the machine; it outlives the runner's process, as jobs in their wrappers do. */
export interface Job extends HoldingRef {
  readonly startTimeMs: number;
  readonly result: HeldResult | undefined;
  stop(graceMs: number): void;
  /** Hears the result, now or when there is one. */
  onEnd(listener: (result: HeldResult) => void): void;
}

/** What survives a runner's process: its disk, and the jobs. */
export interface Machine {
  readonly disk: Map<string, Kept>;
  sessionNumber: bigint;
  bootId: number;
  contact: Contact | undefined;
  readonly jobs: ReadonlyMap<string, Job>;
  record(placement: Placement): void;
  startJob(placement: Placement, wanted: JobSpec): Job;
  forgetJob(of: HoldingRef): void;
  /** Nobody looks after the jobs for a while: what is promised of overlapping tries does not hold for those that run. */
  neglectJobs(): void;
  /** Every job is gone without a result. */
  reboot(): void;
}

export type JobSpec = { durationMs: number; exitCode: number };

export function createMachine({ invariants, chaos }: Simulation, runnerId: string): Machine {
  const jobs = new Map<string, Job & { kill(): void; neglect(): void }>();
  const startJob = (placement: Placement, { durationMs, exitCode }: JobSpec): Job => {
    const { workloadId, fence } = placement;
    const startTimeMs = Date.now();
    const run = invariants.noteStart({ workloadId, fence, runnerId });
    const listeners: ((result: HeldResult) => void)[] = [];
    let result: HeldResult | undefined;
    const end = (ended: HeldResult) => {
      if (result) return;
      clearTimeout(timer);
      result = { ...ended, startTimeMs };
      run.end(result);
      for (const listener of listeners) listener(result);
    };
    const timer = setTimeout(() => end({ ...resultWithout("exited", ""), exitCode }), durationMs);
    const job = {
      ...{ workloadId, fence, startTimeMs },
      get result() {
        return result;
      },
      stop(graceMs: number) {
        setTimeout(() => end(resultWithout("stopped", "stopped")), chaos.below(Math.max(1, Math.min(graceMs, 2000))));
      },
      onEnd(listener: (ended: HeldResult) => void) {
        if (result) listener(result);
        else listeners.push(listener);
      },
      kill() {
        run.goDown();
        if (result) return;
        clearTimeout(timer);
        listeners.length = 0;
        result = resultWithout("lost", "the machine went down");
        run.end(result);
      },
      neglect: () => run.neglect(),
    };
    jobs.set(holdingKey(placement), job);
    return job;
  };
  const disk = new Map<string, Kept>();
  return {
    disk,
    record(placement) {
      disk.set(holdingKey(placement), { placement, acknowledged: false });
      invariants.noteRecorded(placement.fence);
    },
    sessionNumber: 0n,
    bootId: 1,
    contact: undefined,
    jobs,
    startJob,
    forgetJob: (of) => void jobs.delete(holdingKey(of)),
    neglectJobs() {
      for (const job of jobs.values()) job.neglect();
    },
    reboot() {
      this.bootId += 1;
      for (const job of jobs.values()) job.kill();
      jobs.clear();
    },
  };
}

/** What a process that starts finds: each holding as far as the disk tells. */
export function toHolding({ placement, stop, result, acknowledged }: Kept): Holding {
  const phase: Holding["phase"] =
    result === undefined ? { kind: "starting" } : { kind: "completed", result, acknowledged };
  return { placement, phase, stop, forgotten: false, logSettled: false, uploadsSettled: true };
}
