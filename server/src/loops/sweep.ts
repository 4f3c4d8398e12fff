import { sweepAccessTokens } from "../store/access-tokens.ts";
import { sweepAuditEvents } from "../store/audit-events.ts";
import type { Sql } from "../store/database.ts";
import { sweepDeliveries, sweepSeen } from "../store/deliveries.ts";
import { deleteEnded, listOldest } from "../store/ended-workloads.ts";
import { sweepIdempotencyKeys } from "../store/idempotency-keys.ts";
import { sweepGenerations, sweepRevocations } from "../store/identities.ts";
import { listOrphanLogs } from "../store/log-segments.ts";
import { deleteRuns, listExpiredRuns } from "../store/swept-runs.ts";
import { sweepWebhookDeliveries } from "../store/webhook-deliveries.ts";
import { sweepMetricsSamples } from "../store/metrics-samples.ts";

/** How long each kind is kept, in ms. */
export type Keep = {
  workloads_ms: number;
  /** Of projects that do not say. */
  runs_ms: number;
  audit_ms: number;
  deliveries_ms: number;
  idempotencyKeys_ms: number;
  metrics_ms: number;
  /** Of a certificate, after its expiry. */
  generations_ms: number;
  revocations_ms: number;
};

export type SweepDeps = {
  sql: Sql;
  keep: Keep;
  /** One replica sweeps; were it two, each would find less to do. */
  leads: () => boolean;
  /** Removes the logs of a workload for good; again is no error. */
  deleteLogs: (workloadId: string) => Promise<void>;
  onSwept: (kind: string, count: number) => void;
};

/** Rows of one statement; its locks are held for so long. */
const rowLimit = 1000;
/** Batches of one kind in one run, after which the other kinds get their turn. */
const batchLimit = 20;
const workloadLimit = 200;
const runLimit = 20;
const deletionsAtOnce = 8;

/** Deletes one batch, and answers how many rows went. A full batch means that there may be more. */
type Batch = { kind: string; limit: number; run: () => Promise<number> };

/** Deletes what has been kept for long enough, in bounded batches (I9, I10). Answers whether there is more to do at once. */
export function createSweep({ sql, keep, leads, deleteLogs, onSwept }: SweepDeps): () => Promise<boolean> {
  const rows = (
    kind: string,
    sweep: (of: Sql, keep_ms: number, limit: number) => Promise<number>,
    keep_ms: number,
  ) => ({
    kind,
    limit: rowLimit,
    run: () => sweep(sql, keep_ms, rowLimit),
  });
  const batches: readonly Batch[] = [
    rows("metrics_sample", sweepMetricsSamples, keep.metrics_ms),
    rows("idempotency_key", sweepIdempotencyKeys, keep.idempotencyKeys_ms),
    rows("certificate", sweepGenerations, keep.generations_ms),
    rows("revocation", sweepRevocations, keep.revocations_ms),
    rows("access_token", sweepAccessTokens, keep.audit_ms),
    rows("delivery", sweepDeliveries, keep.deliveries_ms),
    rows("webhook_delivery", sweepWebhookDeliveries, keep.deliveries_ms),
    rows("delivery_seen", sweepSeen, keep.audit_ms),
    rows("audit_event", sweepAuditEvents, keep.audit_ms),
  ];

  /** What could not be deleted in this run: it holds up nothing else, and is tried again by the next. */
  let failures: unknown[] = [];
  /** Answers the workloads whose logs are gone. */
  const deleteAllLogs = async (workloadIds: readonly string[]): Promise<ReadonlySet<string>> => {
    const gone = new Set<string>();
    const deleteOne = async (id: string) => {
      try {
        await deleteLogs(id);
        gone.add(id);
      } catch (error) {
        failures.push(error);
      }
    };
    for (let start = 0; start < workloadIds.length; start += deletionsAtOnce)
      await Promise.all(workloadIds.slice(start, start + deletionsAtOnce).map(deleteOne));
    return gone;
  };

  /** How far a run came that had to stop: the next goes on there. */
  let after = 0n;
  /** The record goes last: until then a sweep that was cut off finds it, and with it what is left of its logs. */
  const sweepWorkloads = async () => {
    for (let batch = 0; batch < batchLimit && leads(); batch += 1) {
      const oldest = await listOldest(sql, { after, keep_ms: keep.workloads_ms, limit: workloadLimit });
      const expired = oldest.filter((one) => one.isExpired);
      const gone = await deleteAllLogs(expired.map((one) => one.id));
      const keys = expired.filter((one) => gone.has(one.id)).map((one) => one.key);
      if (keys.length > 0) onSwept("workload", await deleteEnded(sql, keys));
      const last = oldest.at(-1);
      const isOver = !last?.isOld || oldest.length < workloadLimit;
      after = isOver ? 0n : last.key;
      if (isOver) return false;
    }
    return true;
  };

  /** The run's record goes last, as a workload's does, and with it those of its jobs and artifacts. */
  const sweepRuns = async () => {
    for (let batch = 0; batch < batchLimit && leads(); batch += 1) {
      const expired = await listExpiredRuns(sql, { keep_ms: keep.runs_ms, limit: runLimit });
      const gone = await deleteAllLogs(expired.flatMap((run) => run.workloads).map((one) => one.id));
      const whole = expired.filter((run) => run.workloads.every((one) => gone.has(one.id)));
      const ids = whole.map((run) => run.id);
      const workloads = whole.flatMap((run) => run.workloads);
      if (ids.length === 0) return false;
      await deleteEnded(
        sql,
        workloads.map((one) => one.key),
      );
      onSwept("run", await deleteRuns(sql, ids));
      if (expired.length < runLimit) return false;
    }
    return true;
  };

  const sweepOrphanLogs = async () => {
    const orphans = await listOrphanLogs(sql, keep.workloads_ms, workloadLimit);
    const gone = await deleteAllLogs(orphans);
    if (gone.size > 0) onSwept("orphan_log", gone.size);
    return gone.size === workloadLimit;
  };

  const sweepRows = async ({ kind, limit, run }: Batch) => {
    for (let batch = 0; batch < batchLimit && leads(); batch += 1) {
      const count = await run();
      if (count > 0) onSwept(kind, count);
      if (count < limit) return false;
    }
    return true;
  };

  return async () => {
    if (!leads()) return false;
    failures = [];
    let isMore = false;
    for (const batch of batches) isMore = (await sweepRows(batch)) || isMore;
    isMore = (await sweepRuns()) || isMore;
    isMore = (await sweepWorkloads()) || isMore;
    isMore = (await sweepOrphanLogs()) || isMore;
    if (failures.length > 0) throw new AggregateError(failures, `logs that could not be deleted: ${failures.length}`);
    return isMore && leads();
  };
}
