import type { Job as JobProto } from "../../../proto/gen/agyn/runs/v1/run_pb.ts";
import { AgynError } from "../domain/errors.ts";
import type { Changing } from "../loops/change-reader.ts";
import type { WatchFeed } from "../loops/watch-feed.ts";
import type { Sql } from "../store/database.ts";
import { listChangedJobs, listJobsOfRuns, type JobRow } from "../store/jobs.ts";
import { getRun, listChangedRuns, listLiveRuns, type RunRow } from "../store/runs.ts";
import { toRunProto } from "./run-proto.ts";
import { watch } from "./watch.ts";

/** A run, or a job, that changed. */
export type RunChange = Changing & ({ run: RunRow; job?: undefined } | { job: JobRow; run?: undefined });

export type RunsWatchDeps = {
  sql: Sql;
  storeEpoch: number;
  feed: WatchFeed<RunChange>;
  present: (job: JobRow, projectName: string) => Promise<JobProto>;
};

/** What is watched: an organization; and of that one run, or one project, where they are not empty. */
export type Watched = { organizationId: string; runId: string; projectId: string };

const snapshotPage = 200;
/** Changes that a watcher who comes back is told of; one who missed more starts anew. */
const caughtUpLimit = 10_000;

/** Runs and jobs that were changed by `fromXid` or a later transaction, as far as visible. */
export async function listRunChanges(sql: Sql, fromXid: string): Promise<RunChange[]> {
  const runs = (await listChangedRuns(sql, fromXid)).map((run) => ({ id: run.id, changeXid: run.changeXid, run }));
  const jobs = (await listChangedJobs(sql, fromXid)).map((job) => ({ id: job.id, changeXid: job.changeXid, job }));
  return [...runs, ...jobs];
}

/** A snapshot of the live runs (or of the one) with their jobs, then every change. */
export async function* watchRuns(
  deps: RunsWatchDeps,
  watched: Watched,
  { bookmark, signal }: { bookmark: string; signal: AbortSignal },
) {
  const { sql } = deps;
  const projectNames = new Map<string, string>();
  const isWatched = ({ run, job }: RunChange) => {
    const { organizationId, projectId } = run ?? job;
    if (organizationId !== watched.organizationId) return false;
    if (watched.runId !== "" && watched.runId !== (run?.id ?? job?.runId)) return false;
    return watched.projectId === "" || watched.projectId === projectId;
  };
  const present = async (changes: readonly RunChange[]) => {
    const items: { run?: ReturnType<typeof toRunProto>; job?: JobProto }[] = [];
    for (const { run, job } of changes.filter(isWatched)) {
      if (run) projectNames.set(run.projectId, run.projectName);
      if (run) items.push({ run: toRunProto(run) });
      else items.push({ job: await deps.present(job, await projectName(job)) });
    }
    return items;
  };
  const projectName = async (job: JobRow) => {
    const known = projectNames.get(job.projectId) ?? (await getRun(sql, job.runId))?.projectName ?? "";
    projectNames.set(job.projectId, known);
    return known;
  };
  const source = {
    sql,
    storeEpoch: deps.storeEpoch,
    feed: deps.feed,
    present,
    snapshot: () => snapshot(sql, watched),
    changes: async (from: string) => {
      const changes = (await listRunChanges(sql, from)).filter(isWatched);
      if (changes.length <= caughtUpLimit) return changes;
      const text = `more than ${caughtUpLimit} runs and jobs changed since the bookmark: watch again without it, from a snapshot`;
      throw new AgynError("CURSOR_EXPIRED", text);
    },
  };
  for await (const { items, bookmark: reached, snapshotComplete } of watch(source, bookmark, signal)) {
    yield {
      runs: items.flatMap((one) => one.run ?? []),
      jobs: items.flatMap((one) => one.job ?? []),
      bookmark: reached,
      snapshotComplete,
    };
  }
}

async function* snapshot(sql: Sql, { organizationId, runId, projectId }: Watched): AsyncIterable<readonly RunChange[]> {
  const everything = { states: [], labels: {}, pipeline: "", ref: "", triggerId: "" };
  const one = runId === "" ? undefined : await getRun(sql, runId);
  const all = { organizationId, ids: [], projectId, ...everything };
  const runs = runId === "" ? await listLiveRuns(sql, all) : [one].filter((run) => run !== undefined);
  for (let start = 0; start < runs.length; start += snapshotPage) {
    const page = runs.slice(start, start + snapshotPage);
    yield page.map((run) => ({ id: run.id, changeXid: run.changeXid, run }));
    const jobs = await listJobsOfRuns(
      sql,
      page.map((run) => run.id),
    );
    for (let first = 0; first < jobs.length; first += snapshotPage) {
      yield jobs.slice(first, first + snapshotPage).map((job) => ({ id: job.id, changeXid: job.changeXid, job }));
    }
  }
}
