import type { Logger } from "pino";
import { createJobQueue, type JobQueue } from "../domain/job-queue.ts";
import type { LiveJob } from "../domain/job-buckets.ts";
import type { Demand } from "../domain/demand.ts";
import { createRunTimes, type RunTimes } from "../domain/wait-estimate.ts";
import { demandFromJson, demandProblem, type DemandJson } from "../domain/workload.ts";
import type { Sql } from "../store/database.ts";
import { listChangedJobs, listLiveJobs, type JobRow } from "../store/jobs.ts";
import { requestAdvances } from "../store/runs.ts";
import { listQueueBounds, listQueuePauses, type QueuePause } from "../store/queue-settings.ts";
import { getHorizon } from "../store/workloads.ts";
import { createChangeReader } from "./change-reader.ts";
import type { FleetState } from "./fleet-state.ts";

/** The queue as this replica sees it: every job that waits or runs, and what bounds them. */
export interface QueueState {
  readonly queue: JobQueue;
  /** Takes on records that are known to be committed. */
  take(rows: readonly JobRow[]): void;
  /** Takes on what changed since the last call; calls coalesce. */
  refresh(): Promise<void>;
  /** How long jobs of each kind ran lately. */
  readonly times: RunTimes;
  /** The pauses in force. */
  readonly pauses: readonly QueuePause[];
}

/** What a running job asked for whose record is damaged: it runs, and counts for limits. */
const nothing: DemandJson = {
  ...{ organizationId: "", requirements: [], capabilities: [], executor: "", resources: {}, preferences: [] },
};

/** Demands that are alike are one in memory, so that a long queue costs little. */
const internLimit = 10_000;

/** Empty, until the first reading of the queue. */
export async function openQueueState(sql: Sql, fleet: FleetState, log: Logger): Promise<QueueState> {
  const queue = createJobQueue((runnerId) => fleet.index.get(runnerId)?.scope.kind === "cluster");
  const times = createRunTimes();
  const demands = new Map<string, Demand>();
  const newest = new Map<string, bigint>();
  let pauses: readonly QueuePause[] = [];
  let reading: Promise<void> | undefined;
  let wanted: Promise<void> | undefined;
  const reader = createChangeReader(
    await getHorizon(sql),
    () => getHorizon(sql),
    (from) => listChangedJobs(sql, from),
  );
  /** Runs with a queued job that cannot be read: whoever takes runs on fails it. */
  const unreadable = new Set<string>();
  const demandOf = (json: DemandJson): Demand => {
    const text = JSON.stringify(json);
    const known = demands.get(text);
    if (known) return known;
    if (demands.size >= internLimit) demands.clear();
    const demand = demandFromJson(json);
    demands.set(text, demand);
    return demand;
  };
  /** `undefined`: no queue can hold the job. */
  const readDemand = ({ id, runId, state, demand: json }: JobRow): Demand | undefined => {
    const problem = demandProblem(json);
    if (problem === undefined) return demandOf(json!);
    log.error({ job_id: id, problem }, "job record unreadable");
    if (state === "running") return demandOf(nothing);
    unreadable.add(runId);
    return undefined;
  };
  /** A job that ends here for the first time; its record may be read again. */
  const noteTime = (row: JobRow) => {
    if (row.state !== "succeeded" || !row.startTime || !row.endTime || !queue.get(row.id)) return;
    times.note(row, row.endTime.getTime() - row.startTime.getTime());
  };
  const take = (rows: readonly JobRow[]) => {
    for (const row of rows) {
      // A record that was handed over directly may be read again later, and one that was read earlier come after it.
      const xid = BigInt(row.changeXid);
      if (xid < (newest.get(row.id) ?? 0n)) continue;
      const lives = row.state === "queued" || row.state === "running";
      const demand = lives ? readDemand(row) : undefined;
      if (demand) {
        newest.set(row.id, xid);
        queue.set(toLiveJob(row, demand));
      } else {
        noteTime(row);
        newest.delete(row.id);
        queue.remove(row.id);
      }
    }
  };
  const readBounds = async () => {
    const bounds = await listQueueBounds(sql);
    for (const { scopeId, weight, maximumRunning } of bounds) queue.bound(scopeId, { weight, maximumRunning });
    const found = await listQueuePauses(sql);
    const held = new Set(found.map((one) => one.scopeId));
    for (const one of pauses) if (!held.has(one.scopeId)) queue.resume(one.scopeId);
    for (const one of found) queue.pause(one.scopeId, one.reason);
    pauses = found;
  };
  const failUnreadable = async () => {
    if (unreadable.size === 0) return;
    const runIds = [...unreadable];
    await requestAdvances(sql, runIds);
    for (const id of runIds) unreadable.delete(id);
  };
  const read = async () => {
    await readBounds();
    take((await reader.read()).rows);
    await failUnreadable();
  };
  await readBounds();
  take(await listLiveJobs(sql));
  await failUnreadable();
  return {
    queue,
    times,
    take,
    async refresh() {
      // A read under way may have begun before the change the caller wants to see, so it gets the next one.
      wanted ??= (reading ?? Promise.resolve())
        .catch(() => undefined)
        .then(() => {
          wanted = undefined;
          reading = read().finally(() => (reading = undefined));
          return reading;
        });
      await wanted;
    },
    get pauses() {
      return pauses;
    },
  };
}

/** What the order and the limits of the queue go by, of a row and its demand. */
export function toLiveJob(row: JobRow, demand: Demand): LiveJob {
  return {
    id: row.id,
    key: row.key,
    organizationId: row.organizationId,
    projectId: row.projectId,
    runId: row.runId,
    definition: row.definition,
    priority: row.priority,
    rank: row.rank,
    demand,
    group: row.concurrencyGroup,
    groupLimit: row.concurrencyLimit,
    matrix: `${row.runId} ${row.attempt} ${row.definition}`,
    matrixLimit: row.matrixLimit,
    available_ms: row.availableTime?.getTime() ?? 0,
    runnerId: row.state === "running" ? (row.runnerId ?? "") : null,
  };
}
