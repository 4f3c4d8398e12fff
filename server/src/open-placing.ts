import type { Logger } from "pino";
import type { Config } from "./config.ts";
import { startLoop, type Loop } from "./loops/driver.ts";
import { createFailUnreadable } from "./loops/fail-unreadable.ts";
import { openFleetState } from "./loops/fleet-state.ts";
import { considerRetries, createLossLoops } from "./loops/lose-workloads.ts";
import { createPlacer } from "./loops/place-workloads.ts";
import type { Delivery } from "./loops/placer.ts";
import { createWatchFeed } from "./loops/watch-feed.ts";
import { createMeters } from "./meters.ts";
import type { Random } from "./secure-random.ts";
import { createDelivery } from "./sessions/deliver.ts";
import { createRecorder } from "./sessions/recorder.ts";
import { createSessionRegistry } from "./sessions/session-registry.ts";
import { createTeller } from "./sessions/tell-runners.ts";
import { listChangedRunners, listRunnersById } from "./store/runners.ts";
import { getHorizon, listChangedWorkloads } from "./store/workloads.ts";
import type { OnClose } from "./closing.ts";
import type { State } from "./open-state.ts";

export type PlacingOptions = {
  config: Config;
  log: Logger;
  state: Pick<State, "sql" | "masterKey" | "writer" | "notifications">;
  /** Draws among the runners that fit equally well. */
  random: Random;
  onClose: OnClose;
};

const recountPeriod_ms = 20_000;

/** What places workloads and hears runners: the fleet in memory, the leader, the sessions, the loops. */
export async function openPlacing({ config, log, state, random, onClose }: PlacingOptions) {
  const { sql, masterKey, writer, notifications } = state;
  const meters = createMeters();
  const fleet = await openFleetState(sql, writer.replicaId);
  const registry = createSessionRegistry();
  const loops: Loop[] = [];
  const runLoop = (name: string, period_ms: number, run: () => Promise<void>) => {
    const loop = startLoop({ name, period_ms, log, run });
    loops.push(loop);
    onClose(`loop ${name}`, () => loop.stop());
    return loop;
  };
  const runnerFeed = createWatchFeed({
    name: "watch-runners",
    period_ms: config.loopPeriod_ms,
    log,
    getHorizon: () => getHorizon(sql),
    listChanged: (from) => listChangedRunners(sql, from),
    listTouched: () => listRunnersById(sql, fleet.busy.takeTurned()),
  });
  const workloadFeed = createWatchFeed({
    name: "watch-workloads",
    period_ms: config.loopPeriod_ms,
    log,
    getHorizon: () => getHorizon(sql),
    listChanged: (from) => listChangedWorkloads(sql, from),
  });
  for (const feed of [runnerFeed, workloadFeed]) {
    loops.push(feed.loop);
    onClose(`loop ${feed.loop.name}`, () => feed.loop.stop());
  }
  const changeListeners: (() => void)[] = [];
  const onRunnersChanged = () => {
    for (const listener of changeListeners) listener();
    runnerFeed.signal();
    syncFleet.signal();
    notifications.send("runners");
  };
  const onWorkloadsChanged = () => {
    workloadFeed.signal();
    notifications.send("workloads");
  };
  const failUnreadable = createFailUnreadable({ sql, writer, fleet, log, onWorkloadsChanged });
  const teller = createTeller({
    registry,
    masterKey,
    onUnreadable: failUnreadable,
    onElsewhere: () => notifications.send("deliver"),
    onUnread: () => deliver.signal(),
  });
  const deliverPlacement = (placement: Delivery) => {
    meters.placements.add(1);
    teller.place(placement);
    onWorkloadsChanged();
  };
  /** Called where capacity may have become free, or the fleet has changed. */
  const reliefListeners: (() => void)[] = [];
  /** Called where workloads have ended. */
  const endListeners: (() => void)[] = [];
  const isHere = (runnerId: string) => registry.get(runnerId) !== undefined;
  const placer = createPlacer({
    sql,
    fleet,
    writer,
    random,
    log,
    leaderLease_ms: config.leaderLease_ms,
    pendingLimits: config.pendingLimits,
    isHere,
    onBegin: (gap_ms) => loss.begin(gap_ms),
    deliver: deliverPlacement,
    failUnreadable,
    announcePending: () => notifications.send("pending"),
  });
  onClose("placing", () => placer.stop());
  fleet.onPending((row) => placer.consider([row]));
  fleet.onSettled((workloadId) => placer.discount(workloadId));
  fleet.onRelief(() => {
    placer.wake();
    for (const listener of reliefListeners) listener();
  });
  const recorder = createRecorder({
    sql,
    writer,
    fleet,
    placer,
    log,
    lease_ms: config.lease_ms,
    rejectionExclusion_ms: config.rejectionExclusion_ms,
    onEnded: (ended) => {
      for (const listener of endListeners) listener();
      considerRetries({ sql, fleet, placer }, ended).catch((error: unknown) =>
        log.error({ err: error }, "retries not taken up"),
      );
    },
    onChanged: onWorkloadsChanged,
  });
  const loss = createLossLoops({
    sql,
    writer,
    fleet,
    placer,
    lease_ms: config.lease_ms,
    heartbeat_ms: config.heartbeat_ms,
    period_ms: config.loopPeriod_ms,
    onRunnersChanged,
    onWorkloadsChanged,
  });
  let onLeading: () => void = () => undefined;
  runLoop("lead", config.leaderLease_ms / 3, async () => {
    const led = placer.leads;
    await placer.renewLease();
    if (!led && placer.leads) onLeading();
  });
  const syncFleet = runLoop("sync-fleet", config.loopPeriod_ms, async () => {
    await fleet.refresh();
    for (const session of registry.all()) {
      if (fleet.index.get(session.runnerId)?.availability === "draining") session.drain();
    }
  });
  runLoop("expire-leases", config.loopPeriod_ms, () => loss.expireLeases());
  runLoop("declare-lost", config.loopPeriod_ms, () => loss.declareLost());
  runLoop("expire-pending", config.loopPeriod_ms, () => loss.expirePending());
  runLoop("explain-waiting", config.loopPeriod_ms, async () => {
    placer.wake();
    if (await placer.explainWaiting()) onWorkloadsChanged();
  });
  const delivering = createDelivery({ sql, registry, tell: teller.tell, stop: teller.stop });
  const deliver = runLoop("deliver", config.loopPeriod_ms, delivering);
  runLoop("recount-fleet", recountPeriod_ms, () => placer.recount());
  notifications.on("runners", onceSignalled(syncFleet, runnerFeed));
  notifications.on("workloads", onceSignalled(syncFleet, workloadFeed));
  notifications.on("pending", onceSignalled(syncFleet));
  notifications.on("deliver", onceSignalled(deliver));
  return {
    meters,
    notifications,
    fleet,
    registry,
    placer,
    recorder,
    loops,
    runLoop,
    runnerFeed,
    workloadFeed,
    onRunnersChanged,
    /** Hears of every change of a runner that this replica made. */
    onRunnerChange: (listener: () => void) => changeListeners.push(listener),
    onWorkloadsChanged,
    tellRunner: teller.tell,
    deliverPlacement,
    isHere,
    onRelief: (listener: () => void) => reliefListeners.push(listener),
    onWorkloadsEnded: (listener: () => void) => endListeners.push(listener),
    /** Hears that this replica leads from now on. */
    onLeading(listener: () => void) {
      onLeading = listener;
    },
  };
}

/** A listener that signals loops. */
export function onceSignalled(...targets: { signal(): void }[]): () => void {
  return () => {
    for (const target of targets) target.signal();
  };
}
