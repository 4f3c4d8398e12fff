import type { HeldJob, JobChange, JobRow } from "../store/jobs.ts";

/** The change that changes nothing. */
export function unchanged(row: JobRow): JobChange {
  const { state, message, skipCause, verdict, demand, rank, tag, concurrencyGroup, concurrencyLimit, cancelsOlder } =
    row;
  const { maximumTries, retryOnLost, workloadId, runnerId, stopRequested, exitCode, outputs, reused } = row;
  const { queueTime, availableTime, queueDeadline, startTime, endTime } = row;
  return {
    ...{
      id: row.id,
      state,
      message,
      skipCause,
      verdict,
      demand,
      rank,
      tag,
      concurrencyGroup,
      concurrencyLimit,
      cancelsOlder,
    },
    ...{ maximumTries, retryOnLost, workloadId, runnerId, stopRequested, exitCode, outputs, reused, try: row.try },
    ...{ queueTime, availableTime, queueDeadline, startTime, endTime, spec: null },
    lostAfter_ms: row.lostAfter_ms === null ? null : Number(row.lostAfter_ms),
  };
}

/** What a job becomes so far. */
export function changeOf(changes: Map<string, JobChange>, row: HeldJob): JobChange {
  const change = changes.get(row.id) ?? unchanged(row);
  changes.set(row.id, change);
  return change;
}

/** The records of jobs that a transaction has changed. */
export function changedRows(
  held: readonly HeldJob[],
  changes: ReadonlyMap<string, JobChange>,
  changeXid: string,
): JobRow[] {
  return held.flatMap((row) => {
    const change = changes.get(row.id);
    return change ? [{ ...row, ...change, changeXid }] : [];
  });
}
