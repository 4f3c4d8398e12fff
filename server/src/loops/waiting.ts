import type { Demand } from "../domain/demand.ts";
import { excludedAt } from "../domain/excluded.ts";
import { explain } from "../domain/explanation.ts";
import type { FleetMember } from "../domain/selection.ts";
import { unmetConstraintText } from "../domain/unmet-constraint.ts";
import type { NewWorkload, StartedWorkload } from "../store/workload-starts.ts";
import type { WorkloadHead, WorkloadRow } from "../store/workloads.ts";

/** A workload that waits for a runner: what placing and explaining it needs. There may be many, so nothing else is kept of it. */
export type Waiting = Pick<WorkloadHead, "key" | "id" | "organizationId" | "excluded" | "message" | "size_bytes"> &
  LossRow & { demand: Demand };

/** What is kept of a row while it waits: never its spec. */
export function toWaiting(row: WorkloadHead, demand: Demand): Waiting {
  const { key, id, organizationId, excluded, message, size_bytes } = row;
  const { lostAfter_ms, retryOnLost, maximumTries } = row;
  return {
    key,
    id,
    organizationId,
    excluded,
    message,
    size_bytes,
    lostAfter_ms,
    retryOnLost,
    maximumTries,
    try: row.try,
    demand,
  };
}

/** Whether a record is of one that waits: what people asked to stop is placed no more. */
export function isWaiting(row: Pick<WorkloadHead, "phase" | "stopRequested">): boolean {
  return row.phase === "pending" && !row.stopRequested;
}

/** Bytes that a start takes while it waits. */
export function sizeOf(workload: Pick<NewWorkload, "spec" | "demand">): number {
  return workload.spec.length + Buffer.byteLength(JSON.stringify(workload.demand));
}

/** Why workloads wait, of those for which it is something else than their records say. */
export function changedWaits(waiting: readonly Waiting[], members: readonly FleetMember[], now_ms: number) {
  return waiting.flatMap(({ id, key, demand, excluded, message: known }) => {
    const explanation = explain(members, demand, {
      excluded: excludedAt(excluded, now_ms),
      viewerOrganizationId: demand.organizationId,
      limit: 1,
    });
    if (explanation.verdict === "placeable") return [];
    const message = unmetConstraintText(explanation, { organizationName: "this organization" });
    return message === known ? [] : [{ id, key, verdict: explanation.verdict, message }];
  });
}

/** What a runner must know of a workload's loss. */
export type LossFacts = { lostAfter_ms: number | null; retriedWhenLost: boolean };

type LossRow = { lostAfter_ms: number | bigint | null; retryOnLost: boolean; maximumTries: number; try?: number };

/** Of a record, or of one to be. */
export function lossFacts(row: LossRow): LossFacts {
  return {
    lostAfter_ms: row.lostAfter_ms === null ? null : Number(row.lostAfter_ms),
    retriedWhenLost: row.retryOnLost && (row.try ?? 1) < row.maximumTries,
  };
}

/** The record of a workload as its insertion made it. */
export function toStartedRow(row: NewWorkload, started: StartedWorkload): WorkloadRow {
  const isPlaced = started.phase === "placed";
  return {
    ...row,
    key: started.key,
    phase: started.phase,
    runnerId: isPlaced ? row.runnerId : null,
    fence: started.fence,
    try: 1,
    retryOf: null,
    retriedBy: null,
    lostAfter_ms: row.lostAfter_ms === null ? null : BigInt(row.lostAfter_ms),
    stopRequested: false,
    stopGrace_ms: null,
    stopReason: "",
    excluded: {},
    unreachableSince: null,
    pendingTimeout_ms: BigInt(row.pendingTimeout_ms),
    createTime: started.createTime,
    pendTime: started.createTime,
    placeTime: isPlaced ? started.createTime : null,
    startTime: null,
    endTime: null,
    result: null,
    runId: null,
    jobId: null,
    changeXid: "0",
    size_bytes: sizeOf(row),
  };
}
