import type { Logger } from "pino";
import { listRunChanges, type RunChange } from "./api/runs-watch.ts";
import type { Config } from "./config.ts";
import { hasRunEnded } from "./domain/run-state.ts";
import { isTerminal, demandFromJson } from "./domain/workload.ts";
import { createBundles } from "./artifacts/bundles.ts";
import { createWorkloadArtifacts } from "./artifacts/workload-artifacts.ts";
import { createRunAdvancer } from "./loops/advance-runs.ts";
import { createRunBeginner } from "./loops/begin-runs.ts";
import { createQueueExplainer } from "./loops/explain-queue.ts";
import { createJobPlacer } from "./loops/place-jobs.ts";
import { openQueueState } from "./loops/queue-state.ts";
import { createQueueView } from "./loops/queue-view.ts";
import { lossFacts } from "./loops/waiting.ts";
import { createArtifactSweeper } from "./loops/sweep-artifacts.ts";
import { createWatchFeed } from "./loops/watch-feed.ts";
import { onceSignalled, type openPlacing } from "./open-placing.ts";
import type { OnClose } from "./closing.ts";
import type { State } from "./open-state.ts";
import type { Advanced, AdvanceDeps } from "./runs/advance-run.ts";
import { createCancelRun } from "./runs/cancel-run.ts";
import { createReadSecrets } from "./runs/read-secrets.ts";
import type { StartDeps } from "./runs/start-run.ts";
import type { Random } from "./secure-random.ts";
import type { JobRow } from "./store/jobs.ts";
import { listLiveWorkloadsOfRun } from "./store/jobs.ts";
import { getRunner } from "./store/runners.ts";
import { getHorizon, requestStop } from "./store/workloads.ts";

export type RunsOptions = {
  config: Config;
  log: Logger;
  state: Pick<State, "sql" | "masterKey" | "writer" | "contents">;
  placing: Awaited<ReturnType<typeof openPlacing>>;
  /** Draws among the runners that fit equally well. */
  random: Random;
  onClose: OnClose;
};

/** Sweeping is looked at once in so many periods of the loops. */
const sweepEvery = 10;

/** What runs pipelines: the queue in memory, the leader's placing of jobs, the loop that takes runs on. */
export async function openRuns({ config, log, state, placing, random, onClose }: RunsOptions) {
  const { sql, masterKey, writer, contents } = state;
  const { fleet, placer, notifications, runLoop, loops } = placing;
  const queueState = await openQueueState(sql, fleet, log);
  const view = createQueueView(fleet, queueState);
  const feed = createWatchFeed<RunChange>({
    name: "watch-runs",
    period_ms: config.loopPeriod_ms,
    log,
    getHorizon: () => getHorizon(sql),
    listChanged: (from) => listRunChanges(sql, from),
  });
  loops.push(feed.loop);
  onClose("feed of runs", () => feed.loop.stop());
  const announce = () => {
    feed.signal();
    notifications.send("runs");
  };
  const jobPlacer = createJobPlacer({
    sql,
    writer,
    log,
    fleet,
    state: queueState,
    random,
    guard: () => placer.guard,
    onRefused: async () => {
      await placer.renewLease();
      await fleet.refresh();
    },
    settle: (workloadIds) => placer.settle(workloadIds),
    isHere: placing.isHere,
    deliver: (claimed) => {
      const { workloadId: id, fence, runnerId, organizationId, spec, demand } = claimed;
      const placement = { id, fence, runnerId, organizationId, spec, demand: demandFromJson(demand) };
      placing.deliverPlacement({ ...placement, ...lossFacts(claimed) });
    },
    onTaken: (runIds) => {
      announce();
      beginner.note(runIds);
      begin.signal();
    },
  });
  onClose("placing of jobs", () => jobPlacer.stop());

  const stopWorkloads = async (ids: readonly string[], stop: { reason: string; grace_ms: number | null }) => {
    for (const id of ids) {
      const row = await requestStop(sql, id, { ...stop, writer: writer.replicaId });
      // One that waits for a runner is ended by the loop that looks after the pending.
      if (row && !isTerminal(row.phase) && row.phase !== "pending") placing.tellRunner(row);
    }
    if (ids.length > 0) placing.onWorkloadsChanged();
  };
  const takeJobs = (rows: readonly JobRow[]) => {
    queueState.take(rows);
    jobPlacer.wake();
    announce();
  };
  const onAdvanced = ({ run, jobs, stops }: Advanced) => {
    takeJobs(jobs);
    const letsOthersBegin = run.hasTurn && hasRunEnded(run.state);
    if (letsOthersBegin || jobs.some((one) => one.cancelsOlder)) advance.signal();
    for (const { workloadId, reason } of stops) {
      stopWorkloads([workloadId], { reason, grace_ms: null }).catch((error: unknown) =>
        log.error({ err: error, workload: workloadId }, "a workload was not asked to stop"),
      );
    }
  };
  const advanceDeps: AdvanceDeps = {
    sql,
    masterKey,
    queueTimeout_ms: config.queueTimeout_ms,
    artifactRetention_ms: config.artifactRetention_ms,
    readSecrets: createReadSecrets(masterKey),
  };
  const bundles = createBundles({ sql, contents, maximumBytes: config.bundleMaximum_bytes });
  const startDeps: StartDeps = {
    ...advanceDeps,
    allowFileSources: config.fileSources,
    onAdvanced,
    readBundleFile: (organizationId, digest, path) => bundles.readFile(organizationId, digest, path),
    queueDepth: (organizationId) => queueState.queue.depth(organizationId),
  };
  const cancelRun = createCancelRun({
    ...advanceDeps,
    onAdvanced,
    stopWorkloads,
    liveWorkloads: (runId) => listLiveWorkloadsOfRun(sql, runId),
  });
  const advance = runLoop(
    "advance-runs",
    config.loopPeriod_ms,
    createRunAdvancer({ ...advanceDeps, log, leads: () => placer.leads, cancelRun, onAdvanced }),
  );
  const beginner = createRunBeginner({ ...advanceDeps, log, leads: () => placer.leads, onAdvanced });
  const begin = runLoop("begin-runs", config.loopPeriod_ms, beginner.turn);
  const syncQueue = runLoop("sync-queue", config.loopPeriod_ms, async () => {
    await queueState.refresh();
    jobPlacer.wake();
  });
  runLoop(
    "explain-queue",
    config.loopPeriod_ms,
    createQueueExplainer({ sql, state: queueState, view, leads: () => placer.leads, onExplained: announce }),
  );
  const onRunsDue = () => {
    advance.signal();
    if (!placer.leads) notifications.send("runs");
  };
  placing.onWorkloadsEnded(() => {
    if (queueState.queue.isRunning) onRunsDue();
  });
  const artifacts = createWorkloadArtifacts({ sql, contents, limits: config, onSettled: onRunsDue });
  const sweeper = createArtifactSweeper({
    sql,
    contents,
    uploadTimeout_ms: config.artifactUploadTimeout_ms,
    retention_ms: config.artifactRetention_ms,
    leads: () => placer.leads,
    onSettled: onRunsDue,
  });
  runLoop("sweep-artifacts", config.loopPeriod_ms * sweepEvery, sweeper);
  placing.onRelief(() => jobPlacer.wake());
  notifications.on("runs", onceSignalled(advance, syncQueue, feed));
  return {
    queueState,
    view,
    feed,
    artifacts,
    bundles,
    startDeps,
    advanceDeps,
    onAdvanced,
    takeJobs,
    onQueueChanged: () => {
      syncQueue.signal();
      notifications.send("runs");
    },
    cancelRun,
    runnerName: async (runnerId: string | null) => {
      if (runnerId === null) return "";
      return fleet.index.get(runnerId)?.name ?? (await getRunner(sql, runnerId))?.name ?? "";
    },
  };
}
