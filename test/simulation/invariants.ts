import type { HeldResult } from "../../runner/src/holding.ts";
import { isTerminal, phaseRank } from "../../server/src/domain/workload.ts";
import type { Sql } from "../../server/src/store/database.ts";
import { listAllRunners, type RunnerRow } from "../../server/src/store/runners.ts";
import { listChangedWorkloads, type WorkloadRow } from "../../server/src/store/workloads.ts";

/** A job that ran somewhere. */
type Run = {
  workloadId: string;
  fence: bigint;
  runnerId: string;
  result: HeldResult | undefined;
  /** Its runner was frozen or down while it ran: then tries may overlap. */
  isNeglected: boolean;
  /** Its machine went down, which may have forgotten how it ended. */
  isDown: boolean;
};

/** Looks after every statement whether the store holds what is promised, and collects what happens outside of it. */
export interface Invariants {
  report(fault: string): void;
  /** A runner has a placement on its disk. */
  noteRecorded(fence: bigint): void;
  /** A job starts. */
  noteStart(of: { workloadId: string; fence: bigint; runnerId: string }): {
    end(result: HeldResult): void;
    neglect(): void;
    goDown(): void;
  };
  /** A client was told that this workload is there. */
  noteStarted(workloadId: string): void;
  /** A runner is told that its result is recorded. */
  noteAcknowledged(runnerId: string, of: { workloadId: string; fence: bigint }): void;
  /** Reads what statements of these replicas changed; answers every fault so far. */
  check(writers: readonly string[]): Promise<readonly string[]>;
  /** Every workload as it was last read. */
  readonly workloads: ReadonlyMap<string, WorkloadRow>;
}

export function createInvariants(sql: Sql): Invariants {
  const faults: string[] = [];
  const workloads = new Map<string, WorkloadRow>();
  const runs = new Map<bigint, Run>();
  const recorded = new Set<bigint>();
  const started = new Set<string>();
  let acknowledged: { runnerId: string; workloadId: string; fence: bigint }[] = [];
  let lastXid = "0";
  let highestFence = 0n;
  const report = (fault: string) => void faults.push(fault);
  /** The first try of a workload. */
  const familyOf = (workloadId: string): string => {
    const { retryOf } = workloads.get(workloadId) ?? {};
    return retryOf ? familyOf(retryOf) : workloadId;
  };

  const checkChange = (before: WorkloadRow | undefined, after: WorkloadRow, runners: Map<string, RunnerRow>) => {
    const { id, phase, fence, runnerId } = after;
    if (before && isTerminal(before.phase)) {
      if (text(before) !== text(after)) report(`I3: ${id} ended as ${text(before)} and became ${text(after)}`);
      return;
    }
    const isBound = phase !== "pending" && runnerId !== null;
    if (phase !== "pending" && !isTerminal(phase) && runnerId === null) report(`I1: ${id} is ${phase} on no runner`);
    if (phase === "pending" && runnerId !== null) report(`I1: ${id} is pending on ${runnerId}`);
    if (before && fence !== before.fence && before.phase !== "pending")
      report(`I1: ${id} was placed anew while it was ${before.phase} under ${before.fence}`);
    if (before && fence === before.fence && isBound && before.phase === "pending" && !isTerminal(phase))
      report(`I1: ${id} is ${phase} again under fence ${fence}`);
    if (before && phase === "pending" && before.phase !== "pending" && before.phase !== "placed")
      report(`I1: ${id} went back to pending from ${before.phase}`);
    if (before && phase !== "pending" && phaseRank(phase) < phaseRank(before.phase))
      report(`${id} went back from ${before.phase} to ${phase}`);
    if (isBound && !isTerminal(phase) && phase !== "placed" && !recorded.has(fence))
      report(`I2: ${id} is ${phase} under ${fence}, which no runner took`);
    if (phase === "running" && runs.get(fence)?.workloadId !== id)
      report(`I2: ${id} runs under ${fence}, which never started`);
    if (fence !== (before?.fence ?? 0n)) checkPlacement(after, runners);
    if (isTerminal(phase) && after.result) checkResult(after);
    if (isTerminal(phase)) checkRetry(after);
  };

  const checkPlacement = (
    { id, phase, fence, runnerId, organizationId, excluded }: WorkloadRow,
    runners: Map<string, RunnerRow>,
  ) => {
    const runner = runners.get(runnerId ?? "");
    if (phase !== "placed" || !runner) return report(`I1: ${id} got fence ${fence} as ${phase} on ${runnerId}`);
    if (runner.availability !== "active")
      report(`I10: ${id} was placed on ${runnerId}, which is ${runner.availability}`);
    if (runner.organizationId !== null && runner.organizationId !== organizationId)
      report(`I7: ${id} of ${organizationId} was placed on ${runnerId}`);
    if ((excluded[runnerId!] ?? 0) > Date.now()) report(`I8: ${id} was placed on ${runnerId}, which is excluded`);
  };

  /** What was recorded is what the job of that fence came to. */
  const checkResult = ({ id, fence, phase, result, runnerId }: WorkloadRow) => {
    const run = runs.get(fence);
    if (!run && result!.outcome === "exited") return report(`I2: ${id} exited under ${fence}, which never started`);
    if (!run) return undefined;
    if (run.workloadId !== id || run.runnerId !== runnerId) report(`I2: ${id} ended by what ${run.workloadId} came to`);
    if (run.isDown && result!.outcome === "lost") return undefined;
    const isSame = run.result && (run.result.outcome !== "exited" || run.result.exitCode === result!.exitCode);
    if (!isSame) report(`I2: ${id} is ${phase} under ${fence}, but its job is not`);
  };

  const checkRetry = ({
    id,
    phase,
    try: count,
    maximumTries,
    retryOnLost,
    retryOnFailed,
    stopRequested,
    result,
    retriedBy,
    message,
    jobId,
  }: WorkloadRow) => {
    const isWanted = (phase === "lost" && retryOnLost) || (phase === "failed" && retryOnFailed && result !== null);
    // A job is tried again by its run.
    const isDue = jobId === null && isWanted && !stopRequested && count < maximumTries && !message.includes("deleted");
    if (isDue !== (retriedBy !== null)) report(`${id} is ${phase} at try ${count}, and its next try is ${retriedBy}`);
  };

  const checkCapacity = (runners: readonly RunnerRow[]) => {
    const used = new Map<string, number>();
    for (const { phase, runnerId, demand } of workloads.values()) {
      if (phase === "pending" || isTerminal(phase) || runnerId === null) continue;
      used.set(runnerId, (used.get(runnerId) ?? 0) + (demand.resources["slots"] ?? 0));
    }
    for (const { id, reported } of runners) {
      const slots = reported?.capacity["slots"] ?? 0;
      if ((used.get(id) ?? 0) > slots) report(`${id} has ${slots} slots, and ${used.get(id)} are taken`);
    }
  };

  const oneLeads = async (replicaIds: readonly string[]): Promise<boolean> => {
    const rows = await sql`select from leader where holder = any(${[...replicaIds]}) and expire_time > now()`;
    return rows.length > 0;
  };

  return {
    workloads,
    report,
    noteStart({ workloadId, fence, runnerId }) {
      if (runs.has(fence)) report(`I1: fence ${fence} of ${workloadId} started twice`);
      const run: Run = { workloadId, fence, runnerId, result: undefined, isNeglected: false, isDown: false };
      for (const other of runs.values()) {
        const isOverlap = !other.result && !other.isNeglected && familyOf(other.workloadId) === familyOf(workloadId);
        if (isOverlap)
          report(
            `tries overlap: ${other.workloadId} under ${other.fence} on ${other.runnerId}, ${workloadId} on ${runnerId}`,
          );
      }
      runs.set(fence, run);
      return {
        end: (result) => void (run.result = result),
        neglect: () => void (run.isNeglected = true),
        goDown: () => void (run.isDown = true),
      };
    },
    noteRecorded: (fence) => void recorded.add(fence),
    noteStarted: (workloadId) => void started.add(workloadId),
    noteAcknowledged: (runnerId, { workloadId, fence }) => void acknowledged.push({ runnerId, workloadId, fence }),
    async check(writers) {
      const changed = await listChangedWorkloads(sql, lastXid);
      const all = await listAllRunners(sql);
      const runners = new Map(all.map((runner) => [runner.id, runner]));
      const fences = changed
        .filter((row) => row.fence !== (workloads.get(row.id)?.fence ?? 0n))
        .map((row) => row.fence);
      if (fences.length > 0 && !(await oneLeads(writers)))
        report(`I10: ${writers.join(" or ")} placed, and does not lead`);
      for (const row of changed) {
        checkChange(workloads.get(row.id), row, runners);
        workloads.set(row.id, row);
        if (BigInt(row.changeXid) > BigInt(lastXid)) lastXid = row.changeXid;
      }
      for (const fence of fences.toSorted((a, b) => (a < b ? -1 : 1))) {
        if (fence <= highestFence) report(`I1: fence ${fence} came after ${highestFence}`);
        highestFence = fence;
      }
      checkCapacity(all);
      for (const { id, availability, availabilityReason } of all)
        if (availability === "locked") report(`I12: ${id} was locked: ${availabilityReason}`);
      for (const id of started) if (!workloads.has(id)) report(`I4: ${id} was started and is not there`);
      for (const { runnerId, workloadId, fence } of acknowledged) {
        const row = workloads.get(workloadId);
        const isRecorded = row && isTerminal(row.phase) && row.fence === fence && row.runnerId === runnerId;
        if (!isRecorded) report(`I4: the result of ${workloadId} under ${fence} was acknowledged and is not there`);
      }
      acknowledged = [];
      return faults;
    },
  };
}

/** What of an ended workload must not change. */
function text({ phase, fence, runnerId, message, retriedBy, result, endTime }: WorkloadRow): string {
  return JSON.stringify([phase, String(fence), runnerId, message, retriedBy, result, endTime]);
}
