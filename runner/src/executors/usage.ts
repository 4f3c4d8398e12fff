import { existsSync } from "node:fs";

import { readCpuMs, readMemoryPeak } from "./cgroup.ts";
import type { Usage } from "./executor.ts";
import { type JobMark, type Process, jobProcesses, msPerTick, readProcesses } from "./process-tree.ts";

const firstSampleMs = 20;
const longestSampleMs = 1000;
/** Many executions look at one reading of `/proc`. */
const sharedReadingMs = 100;

/** `reaped`: those that ended while the others were read, so that their parents' CPU time may hold theirs already. */
type Reading = { atMs: number; processes: Process[]; reaped: ReadonlySet<number> };

let reading: Reading | undefined;

function sharedReading(): Reading {
  const atMs = performance.now();
  if (reading !== undefined && atMs - reading.atMs <= sharedReadingMs) return reading;
  const processes = readProcesses();
  const reaped = processes.filter(({ pid }) => !existsSync(`/proc/${pid}`)).map(({ pid }) => pid);
  reading = { atMs, processes, reaped: new Set(reaped) };
  return reading;
}

/** Watches what one job uses; samples quickly at first, so that short jobs are seen too, then once a second. */
export type UsageWatch = {
  usage(): Usage;
  /** Looks now. */
  sample(): void;
  seen: ReadonlyMap<number, number>;
  close(): void;
};

/** `mark` is asked at each sample, because the job's process is known only after a while. */
export function watchUsage(cgroup: string | undefined, mark: () => JobMark): UsageWatch {
  const seen = new Map<number, number>();
  let cpuMs = 0;
  let peakBytes = 0;
  let napMs = firstSampleMs;
  let timer: NodeJS.Timeout | undefined;

  const sample = (): void => {
    const { processes: all, reaped } = sharedReading();
    const processes = jobProcesses(all, mark());
    let residentBytes = 0;
    let cpuTicks = 0;
    for (const process of processes) {
      residentBytes += process.residentBytes;
      cpuTicks += process.cpuTicks;
      seen.set(process.pid, process.startTicks);
    }
    for (const pid of seen.keys()) if (!processes.some((process) => process.pid === pid)) seen.delete(pid);
    peakBytes = Math.max(peakBytes, residentBytes);
    // The next reading has all of it, and once only.
    if (!processes.some(({ pid }) => reaped.has(pid))) cpuMs = Math.max(cpuMs, cpuTicks * msPerTick);
  };
  const nap = (): void => {
    timer = setTimeout(() => {
      sample();
      napMs = Math.min(napMs * 2, longestSampleMs);
      nap();
    }, napMs).unref();
  };
  nap();

  return {
    seen,
    sample,
    usage() {
      const exactPeak = cgroup === undefined ? undefined : readMemoryPeak(cgroup);
      const exactCpu = cgroup === undefined ? undefined : readCpuMs(cgroup);
      return {
        cpuMs: exactCpu ?? cpuMs,
        memoryPeakBytes: exactPeak ?? peakBytes,
        sampled: exactPeak === undefined,
      };
    },
    close: () => clearTimeout(timer),
  };
}
