import type { Sql, SqlOrTransaction } from "../store/database.ts";
import type { JobRow } from "../store/jobs.ts";
import { saveAdvance } from "../store/run-changes.ts";
import { clearAdvanceRequest, type RunRow } from "../store/runs.ts";
import { decideHeldRun, type DecideDeps, type JobCancellation, type Stop } from "./decide-held-run.ts";
import { holdRun, type HeldRun } from "./held-run.ts";
import { changedRows } from "./job-change.ts";

export type AdvanceDeps = DecideDeps & { sql: Sql };

/** What an advance came to: the records that changed, and the workloads that are to end. */
export type Advanced = { run: RunRow; jobs: JobRow[]; stops: Stop[] };

/** Takes a run as far as it goes now: absorbs ended workloads, and writes what follows, in one transaction (I10). */
export async function advanceRun(
  deps: AdvanceDeps,
  runId: string,
  cancellation?: JobCancellation,
): Promise<Advanced | undefined> {
  return deps.sql.begin(async (transaction) => {
    const held = await holdRun(transaction, runId);
    return held && advanceHeldRun(deps, transaction, held, cancellation);
  });
}

/** The same for a run that the caller's transaction holds; "all" ends its jobs whatever their conditions say. */
export async function advanceHeldRun(
  deps: DecideDeps,
  sql: SqlOrTransaction,
  held: HeldRun,
  cancellation?: JobCancellation | "all",
): Promise<Advanced | undefined> {
  const { derived, changes, stops, events, isChanged } = await decideHeldRun(deps, sql, held, cancellation);
  if (!isChanged) {
    if (held.run.advanceRequested) await clearAdvanceRequest(sql, held.run.id);
    return undefined;
  }
  const run = await saveAdvance(sql, { derived, jobs: [...changes.values()], events });
  return { run, jobs: changedRows(held.jobs, changes, run.changeXid), stops };
}
