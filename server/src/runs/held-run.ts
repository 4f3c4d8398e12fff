import type { SqlOrTransaction } from "../store/database.ts";
import type { Turn } from "../store/job-order.ts";
import { holdJobs, type HeldJob } from "../store/jobs.ts";
import { lockRun, type WholeRun } from "../store/runs.ts";

/** A run that the caller's transaction holds, with what is needed to decide what becomes of it. */
export type HeldRun = {
  run: WholeRun;
  /** Of its last attempt, in the pipeline's order. */
  jobs: readonly HeldJob[];
  /** Where its jobs would join the queue; `undefined`: it is asked for where one does. */
  turn?: Turn;
};

/** Locks a run and its live jobs until the transaction ends; `undefined` where there is none of that id. */
export async function holdRun(sql: SqlOrTransaction, id: string): Promise<HeldRun | undefined> {
  // Sent together, answered one after the other: the jobs that are read are of the run as it is locked.
  const [run, jobs] = await Promise.all([lockRun(sql, id), holdJobs(sql, id)]);
  return run && { run, jobs };
}
