import { join } from "node:path";
import type { ConnectRouter } from "@connectrpc/connect";
import type { Logger } from "pino";
import { Plane } from "../../proto/gen/agyn/options/v1/options_pb.ts";
import { AuditService } from "../../proto/gen/agyn/audit/v1/audit_service_pb.ts";
import { LogsService } from "../../proto/gen/agyn/logs/v1/logs_service_pb.ts";
import { OrchestratorService } from "../../proto/gen/agyn/orchestrator/v1/orchestrator_service_pb.ts";
import { OrganizationsService } from "../../proto/gen/agyn/organizations/v1/organizations_service_pb.ts";
import { RunnersService } from "../../proto/gen/agyn/runners/v1/runners_service_pb.ts";
import { ServerService } from "../../proto/gen/agyn/server/v1/server_service_pb.ts";
import { AccessTokensService } from "../../proto/gen/agyn/tokens/v1/access_tokens_service_pb.ts";
import { UsersService } from "../../proto/gen/agyn/users/v1/users_service_pb.ts";
import { createAccessTokensService } from "./api/access-tokens-service.ts";
import { createAuditService } from "./api/audit-service.ts";
import { createAuthenticator } from "./api/authenticate.ts";
import { createEnrollment } from "./api/enrollment-service.ts";
import { createAuthenticationInterceptor, createAuthorizationInterceptor } from "./api/interceptors/access.ts";
import { createErrorInterceptor } from "./api/interceptors/errors.ts";
import { validateInterceptor } from "./api/interceptors/validate.ts";
import { createLogsService } from "./api/logs-service.ts";
import { createMetrics, metricsKept_ms } from "./api/metrics-service.ts";
import { createOrchestratorService } from "./api/orchestrator-service.ts";
import { createOrganizationsService } from "./api/organizations-service.ts";
import { createPages } from "./api/pages.ts";
import { createRunnerCheck } from "./api/runner-check.ts";
import { openRunnerPlane } from "./api/runner-plane.ts";
import { createRunnerManagement } from "./api/runners-service.ts";
import { createRunnerWatch } from "./api/runners-watch.ts";
import { createServerService } from "./api/server-service.ts";
import { openUserPlane } from "./api/user-plane.ts";
import { createUsersService } from "./api/users-service.ts";
import { openBlobDirectory } from "./blobs/directory.ts";
import type { Address, Config } from "./config.ts";
import { claimDataDirectory, writeSecretFile } from "./data-directory.ts";
import { ensureFirstUser } from "./first-start.ts";
import { openMasterKey } from "./identity/master-key.ts";
import { openTrust } from "./identity/trust.ts";
import { openLogStore } from "./logs/log-store.ts";
import { startLoop, type Loop } from "./loops/driver.ts";
import { openRevocationReader } from "./loops/enforce-revocations.ts";
import { createFailUnreadable } from "./loops/fail-unreadable.ts";
import { openFleetState } from "./loops/fleet-state.ts";
import { considerRetries, createLossLoops } from "./loops/lose-workloads.ts";
import { createPlacer } from "./loops/place-workloads.ts";
import { createWatchFeed } from "./loops/watch-feed.ts";
import { createMeters } from "./meters.ts";
import { createSecureRandom } from "./secure-random.ts";
import { createRecorder } from "./sessions/recorder.ts";
import { runSession, sendPlacement, tell, type SessionDeps } from "./sessions/run-session.ts";
import { createSessionRegistry } from "./sessions/session-registry.ts";
import { migrate, openDatabase, refuseUnsafeDatabase, type DatabaseTarget } from "./store/database.ts";
import { startEmbeddedPostgres } from "./store/embedded-postgres.ts";
import { createSegmentIndex } from "./store/log-segments.ts";
import { sweepMetricsSamples } from "./store/metrics-samples.ts";
import { openNotifications } from "./store/notifications.ts";
import { clearSessionsOf, listChangedRunners } from "./store/runners.ts";
import { claimSetting } from "./store/settings.ts";
import { getHorizon, getWorkload, listChangedWorkloads, listDeliverable, type WorkloadRow } from "./store/workloads.ts";
import { version } from "./version.ts";

/** A running control plane. */
export type Server = {
  /** Of the user port, as clients reach it. */
  readonly gateway: string;
  readonly userAddress: Address;
  readonly runnerAddress: Address;
  /** Lets calls finish for the grace, then closes everything in reverse order. */
  close(): Promise<void>;
};

const authenticationCache_ms = 500;
const leafTtl_ms = 30 * 86_400_000;
const leafRenewal_ms = 86_400_000;
const sweepPeriod_ms = 10 * 60_000;

/** Builds everything in order; what was opened is closed in reverse, also where a later step fails. `database`: one that is there already. */
export async function openServer(config: Config, log: Logger, database?: DatabaseTarget): Promise<Server> {
  const closing: (() => Promise<void>)[] = [];
  const closeAll = async () => {
    for (const close of closing.splice(0).toReversed())
      await close().catch((error: unknown) => log.error({ err: error }, "closing failed"));
  };
  try {
    const opened = await open({ config, log, database, onClose: (close) => closing.push(close) });
    return { ...opened, close: closeAll };
  } catch (error) {
    await closeAll();
    throw error;
  }
}

type Opening = {
  config: Config;
  log: Logger;
  database: DatabaseTarget | undefined;
  onClose: (close: () => Promise<void>) => void;
};

async function open({ config, log, database, onClose }: Opening): Promise<Omit<Server, "close">> {
  // State: the data directory, the database, keys, logs.
  const directory = await claimDataDirectory(config.dataDir);
  onClose(() => directory.release());
  const replicaId = directory.replicaId;
  const masterKey = await openMasterKey({ file: config.masterKeyFile, create: config.databaseUrl === undefined });
  const sql = openDatabase(
    database ?? (await findDatabase(config, directory.path, onClose)),
    config.databaseConnections,
  );
  onClose(() => sql.end({ timeout: 5 }));
  await refuseUnsafeDatabase(sql);
  await migrate(sql);
  const storeEpoch = await claimSetting(sql, "store_epoch", 1);
  const { authority, nonceKey } = await openTrust(sql, masterKey, config.trustDomain, new Date());
  await ensureFirstUser({
    sql,
    log,
    writeToken: (text) => writeSecretFile(join(directory.path, "admin-token"), `${text}\n`),
  });
  await clearSessionsOf(sql, replicaId);
  const blobs = await openBlobDirectory({ directory: join(directory.path, "blobs") });
  const logStore = await openLogStore({
    directory: join(directory.path, "log-journal"),
    blobs,
    segments: createSegmentIndex(sql),
    onError: (error) => log.error({ err: error }, "log store failed"),
  });
  onClose(() => logStore.close());

  // Placing: the fleet in memory, the leader, what runners say.
  const meters = createMeters();
  const notifications = await openNotifications(sql, replicaId, log);
  onClose(() => notifications.close());
  const fleet = await openFleetState(sql, replicaId);
  const registry = createSessionRegistry();
  const writer = { replicaId, storeEpoch };
  const loops: Loop[] = [];
  const runLoop = (name: string, period_ms: number, run: () => Promise<void>) => {
    const loop = startLoop({ name, period_ms, log, run });
    loops.push(loop);
    onClose(() => loop.stop());
    return loop;
  };
  const runnerFeed = createWatchFeed({
    name: "watch-runners",
    period_ms: config.loopPeriod_ms,
    log,
    horizon: () => getHorizon(sql),
    read: (from) => listChangedRunners(sql, from),
  });
  const workloadFeed = createWatchFeed({
    name: "watch-workloads",
    period_ms: config.loopPeriod_ms,
    log,
    horizon: () => getHorizon(sql),
    read: (from) => listChangedWorkloads(sql, from),
  });
  for (const feed of [runnerFeed, workloadFeed]) {
    loops.push(feed.loop);
    onClose(() => feed.loop.stop());
  }
  const onRunnersChanged = () => {
    runnerFeed.signal();
    syncFleet.signal();
    notifications.send("runners");
  };
  const onWorkloadsChanged = () => {
    workloadFeed.signal();
    notifications.send("workloads");
  };
  const failUnreadable = createFailUnreadable({ sql, writer, fleet, log, onWorkloadsChanged });
  const tellRunner = (row: WorkloadRow) => {
    const session = row.runnerId === null ? undefined : registry.get(row.runnerId);
    if (!session) {
      notifications.send("deliver");
      return;
    }
    try {
      tell(session, row, masterKey);
    } catch (error) {
      failUnreadable(row, error);
    }
  };
  const placer = createPlacer({
    sql,
    fleet,
    writer,
    random: createSecureRandom(),
    log,
    leaderLease_ms: config.leaderLease_ms,
    deliver: (placement) => {
      meters.placements.add(1);
      const session = registry.get(placement.runnerId);
      if (session) {
        try {
          sendPlacement(session, placement, masterKey);
        } catch (error) {
          failUnreadable(placement, error);
        }
      } else notifications.send("deliver");
      onWorkloadsChanged();
    },
    failUnreadable,
    announcePending: () => notifications.send("pending"),
  });
  onClose(() => placer.stop());
  fleet.onPending((row) => placer.consider([row]));
  fleet.onRelief(() => placer.wake());
  const recorder = createRecorder({
    sql,
    writer,
    fleet,
    placer,
    log,
    lease_ms: config.lease_ms,
    rejectionExclusion_ms: config.rejectionExclusion_ms,
    onEnded: (ended) => {
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
    onRunnersChanged,
    onWorkloadsChanged,
  });
  runLoop("lead", config.leaderLease_ms / 3, async () => {
    const { began, gap_ms } = await placer.renewLease();
    if (began) await loss.begin(gap_ms);
  });
  const syncFleet = runLoop("sync-fleet", config.loopPeriod_ms, () => fleet.refresh());
  runLoop("expire-leases", config.loopPeriod_ms, () => loss.expireLeases());
  runLoop("declare-lost", config.loopPeriod_ms, () => loss.declareLost());
  runLoop("expire-pending", config.loopPeriod_ms, () => loss.expirePending());
  runLoop("explain-waiting", config.loopPeriod_ms, async () => {
    placer.wake();
    await placer.explainWaiting();
    onWorkloadsChanged();
  });
  const deliver = runLoop("deliver", config.loopPeriod_ms, async () => {
    const rows = await listDeliverable(
      sql,
      [...registry.all()].map((session) => session.runnerId),
    );
    for (const row of rows) tellRunner(row);
  });
  runLoop("sweep-metrics", sweepPeriod_ms, () => sweepMetricsSamples(sql, metricsKept_ms));

  // The contract, once for both planes: each method exists on the one that its option names.
  let leaf = await authority.issueControlPlaneLeaf({ now: new Date(), ttl_ms: leafTtl_ms });
  let runnerAddress: Address = config.runnerListen;
  const endpoints = () => {
    const { host, port } = config.runnerAddress ?? runnerAddress;
    return [{ kind: { case: "mtls" as const, value: host.includes(":") ? `[${host}]:${port}` : `${host}:${port}` } }];
  };
  const sessionDeps: SessionDeps = {
    sql,
    writer,
    registry,
    recorder,
    placer,
    fleet,
    masterKey,
    log,
    endpoints,
    heartbeat_ms: config.heartbeat_ms,
    lease_ms: config.lease_ms,
    metricsInterval_ms: config.metricsInterval_ms,
    onRunnersChanged,
  };
  const onRevoked = () => {
    revocations.signal();
    notifications.send("revocations");
  };
  const protoDeps = { sql, fleet, trustDomain: authority.trustDomain };
  const routes = (router: ConnectRouter) => {
    router.service(RunnersService, {
      ...createRunnerManagement({
        ...protoDeps,
        writer,
        rootPin: authority.rootPin,
        onRunnersChanged,
        onRevoked,
        onWorkloadsEnded: (ids) => {
          for (const id of ids) fleet.vacate(id);
          onWorkloadsChanged();
        },
      }),
      ...createRunnerWatch({ ...protoDeps, storeEpoch, feed: runnerFeed }),
      ...createEnrollment({
        sql,
        authority,
        controlPlaneLeaf: () => leaf,
        nonceKey,
        endpoints,
        certificateTtl_ms: config.certificateTtl_ms,
        expiredRenewal_ms: config.expiredRenewal_ms,
        onRunnersChanged,
        onRevoked,
        onEnrolled: () => meters.enrollments.add(1),
      }),
      ...createMetrics({ sql, metricsInterval_ms: config.metricsInterval_ms }),
    });
    router.service(
      OrchestratorService,
      createOrchestratorService({
        sql,
        writer,
        placer,
        fleet,
        masterKey,
        feed: workloadFeed,
        pendingTimeout_ms: config.pendingTimeout_ms,
        tell: tellRunner,
        onWorkloadsChanged,
        runSession: (caller, requests, signal) => runSession(sessionDeps, caller, requests, signal),
      }),
    );
    router.service(
      LogsService,
      createLogsService({
        sql,
        logStore,
        onBytes: (bytes) => meters.logBytes.add(bytes),
        untilPlaced: async (workloadId, signal) => {
          const { batches } = await workloadFeed.subscribe(signal);
          const row = await getWorkload(sql, workloadId);
          if (!row || row.phase !== "pending") return;
          for await (const batch of batches)
            if (batch.rows.some((one) => one.id === workloadId && one.phase !== "pending")) return;
        },
      }),
    );
    router.service(OrganizationsService, createOrganizationsService({ sql }));
    router.service(UsersService, createUsersService({ sql }));
    router.service(AccessTokensService, createAccessTokensService({ sql }));
    router.service(AuditService, createAuditService({ sql }));
    router.service(
      ServerService,
      createServerService({
        version,
        trustDomain: authority.trustDomain,
        replicaId,
        runnerEndpoints: endpoints().map((one) => one.kind.value),
      }),
    );
  };
  const authenticate = createAuthenticator({ sql, cache_ms: authenticationCache_ms });
  const interceptors = (plane: Plane) => {
    const access = { sql, plane, authenticate, checkRunner: createRunnerCheck(sql) };
    return [
      createErrorInterceptor(log, (reason) => meters.refusals.add(1, reason)),
      createAuthenticationInterceptor(access),
      validateInterceptor,
      createAuthorizationInterceptor(access),
    ];
  };

  // The listeners: runners first, so that what the user port answers is true.
  const runnerPlane = await openRunnerPlane({
    listen: config.runnerListen,
    authority,
    leaf,
    routes,
    interceptors: interceptors(Plane.RUNNER),
    log,
  });
  runnerAddress = runnerPlane.address;
  onClose(() => runnerPlane.close(config.shutdownGrace_ms));
  const revocationReader = await openRevocationReader({
    sql,
    disconnect: (runnerId, reason) => {
      registry.get(runnerId)?.end(reason as "IDENTITY_REVOKED" | "RUNNER_LOCKED", "this identity was revoked");
      setImmediate(() => runnerPlane.disconnect(runnerId, reason));
    },
    disconnectAll: (why) => runnerPlane.disconnectAll(why),
  });
  const revocations = runLoop("enforce-revocations", config.revocationPeriod_ms, () => revocationReader.run());
  runLoop("renew-own-certificate", leafRenewal_ms, async () => {
    leaf = await authority.issueControlPlaneLeaf({ now: new Date(), ttl_ms: leafTtl_ms });
    runnerPlane.replaceLeaf(leaf);
  });
  const pages = createPages({ sql, loops, meters, placer, registry });
  const userPlane = await openUserPlane({
    listen: config.listen,
    tls: config.tls,
    routes,
    interceptors: interceptors(Plane.USER),
    pages,
    trustedProxies: config.trustedProxies,
  });
  onClose(() => userPlane.close(config.shutdownGrace_ms));
  onClose(() => {
    for (const session of registry.all()) session.end("UNAVAILABLE", "the control plane is stopping", 500);
    return Promise.resolve();
  });
  notifications.on("runners", onceSignalled(syncFleet, runnerFeed));
  notifications.on("workloads", onceSignalled(syncFleet, workloadFeed));
  notifications.on("pending", onceSignalled(syncFleet));
  notifications.on("deliver", onceSignalled(deliver));
  notifications.on("revocations", onceSignalled(revocations));
  const { host, port } = userPlane.address;
  const gateway = `${config.tls ? "https" : "http"}://${host.includes(":") ? `[${host}]` : host}:${port}`;
  await writeSecretFile(join(directory.path, "gateway"), `${gateway}\n`);
  return { gateway, userAddress: userPlane.address, runnerAddress: runnerPlane.address };
}

/** The operator's database, or an embedded one that runs as long as the server. */
async function findDatabase(config: Config, directory: string, onClose: Opening["onClose"]): Promise<DatabaseTarget> {
  if (config.databaseUrl !== undefined) return { kind: "url", url: config.databaseUrl };
  const embedded = await startEmbeddedPostgres(join(directory, "postgres"));
  onClose(() => embedded.stop());
  return { kind: "embedded", connection: embedded.connection };
}

function onceSignalled(...targets: { signal(): void }[]): () => void {
  return () => {
    for (const target of targets) target.signal();
  };
}
