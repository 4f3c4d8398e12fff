import type { ConnectRouter } from "@connectrpc/connect";
import type { Logger } from "pino";
import { Plane } from "../../proto/gen/agyn/options/v1/options_pb.ts";
import { ArtifactsService } from "../../proto/gen/agyn/artifacts/v1/artifacts_service_pb.ts";
import { AuditService } from "../../proto/gen/agyn/audit/v1/audit_service_pb.ts";
import { LogsService } from "../../proto/gen/agyn/logs/v1/logs_service_pb.ts";
import { OrchestratorService } from "../../proto/gen/agyn/orchestrator/v1/orchestrator_service_pb.ts";
import { OrganizationsService } from "../../proto/gen/agyn/organizations/v1/organizations_service_pb.ts";
import { OverlayService } from "../../proto/gen/agyn/overlay/v1/overlay_service_pb.ts";
import { ProjectsService } from "../../proto/gen/agyn/projects/v1/projects_service_pb.ts";
import { QueueService } from "../../proto/gen/agyn/queue/v1/queue_service_pb.ts";
import { RunsService } from "../../proto/gen/agyn/runs/v1/runs_service_pb.ts";
import { RunnersService } from "../../proto/gen/agyn/runners/v1/runners_service_pb.ts";
import { SecretsService } from "../../proto/gen/agyn/secrets/v1/secrets_service_pb.ts";
import { ServerService } from "../../proto/gen/agyn/server/v1/server_service_pb.ts";
import { TunnelsService } from "../../proto/gen/agyn/tunnels/v1/tunnels_service_pb.ts";
import { AccessTokensService } from "../../proto/gen/agyn/tokens/v1/access_tokens_service_pb.ts";
import { UsersService } from "../../proto/gen/agyn/users/v1/users_service_pb.ts";
import { createAccessTokensService } from "./api/access-tokens-service.ts";
import { createAuditService } from "./api/audit-service.ts";
import { createArtifactDownload } from "./api/artifact-download.ts";
import { createArtifactsService } from "./api/artifacts-service.ts";
import { createAuthenticator } from "./api/authenticate.ts";
import { openEnrollmentPlane } from "./api/enrollment-plane.ts";
import { createAuthenticationInterceptor, createAuthorizationInterceptor } from "./api/interceptors/access.ts";
import { createStreamInterceptor } from "./api/interceptors/streams.ts";
import { createErrorInterceptor } from "./api/interceptors/errors.ts";
import { validateInterceptor } from "./api/interceptors/validate.ts";
import { createPlacementWait } from "./api/placement-wait.ts";
import { createLogsService } from "./api/logs-service.ts";
import { createMetrics } from "./api/metrics-service.ts";
import { createOrchestratorService } from "./api/orchestrator-service.ts";
import { createOrganizationsService } from "./api/organizations-service.ts";
import { createPages, isReady } from "./api/pages.ts";
import { createProjectsService } from "./api/projects-service.ts";
import { createQueueService } from "./api/queue-service.ts";
import { createRunsService } from "./api/runs-service.ts";
import { createRunnerCheck } from "./api/runner-check.ts";
import { openRunnerPlane, type RunnerPlane } from "./api/runner-plane.ts";
import { createRunnerManagement } from "./api/runners-service.ts";
import { createRunnerWatch } from "./api/runners-watch.ts";
import { createSecretsService } from "./api/secrets-service.ts";
import { createServerService } from "./api/server-service.ts";
import { openUserPlane } from "./api/user-plane.ts";
import { createTunnelsService } from "./api/tunnels-service.ts";
import { createUsersService } from "./api/users-service.ts";
import type { Address, Config } from "./config.ts";
import { createEnrollmentMethods } from "./enrollment-methods.ts";
import { announceGateway } from "./gateway.ts";
import { pushLogs } from "./sessions/push-logs.ts";
import { runSession, type SessionDeps } from "./sessions/run-session.ts";
import type { DatabaseTarget } from "./store/database.ts";
import { createSecureRandom } from "./secure-random.ts";
import { readTlsMaterial } from "./tls-material.ts";
import { version } from "./version.ts";
import { createHealthService } from "./api/health-service.ts";
import { createOverlayService } from "./api/overlay-service.ts";
import { createReflectionService } from "./api/reflection-service.ts";
import { conversations, services } from "./api/permissions.ts";
import { openNetwork } from "./open-network.ts";
import { openPlacing } from "./open-placing.ts";
import { openRevocations } from "./open-revocations.ts";
import { openRuns } from "./open-runs.ts";
import { openTriggers } from "./open-triggers.ts";
import { openTunnels } from "./open-tunnels.ts";
import { openWebhooks } from "./open-webhooks.ts";
import { openUpkeep } from "./open-upkeep.ts";
import { createRunnerEndpoints } from "./runner-endpoints.ts";
import { openState, type StateOptions } from "./open-state.ts";
import { Health } from "../../proto/gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../../proto/gen/grpc/reflection/v1/reflection_pb.ts";

/** A running control plane. */
export type Server = {
  /** Of the user port, as clients reach it. */
  readonly gateway: string;
  readonly userAddress: Address;
  /** Where runners connect by TCP; as configured where they cannot, because the runner plane is in a network only. */
  readonly runnerAddress: Address;
  /** All ways to the runner plane, for people: "host:port", or the service of a network. */
  readonly runnerEndpoints: readonly string[];
  /** Lets calls finish for the grace, then closes everything in reverse order. */
  close(): Promise<void>;
};

const authenticationCache_ms = 500;
const recheckPeriod_ms = 500;
const leafTtl_ms = 30 * 86_400_000;
const leafRenewal_ms = 86_400_000;

/** Builds everything in order; what was opened is closed in reverse, also where a later step fails. `database`: one that is there already. */
export async function openServer(config: Config, log: Logger, database?: DatabaseTarget): Promise<Server> {
  const closing: (() => Promise<void>)[] = [];
  const closeInTurn = async () => {
    for (const close of closing.toReversed())
      await close().catch((error: unknown) => log.error({ err: error }, "closing failed"));
  };
  // Whoever asks again waits for the same end.
  let closed: Promise<void> | undefined;
  const closeAll = () => (closed ??= closeInTurn());
  try {
    const opened = await open({ config, log, database, onClose: (close) => closing.push(close) });
    return { ...opened, close: closeAll };
  } catch (error) {
    await closeAll();
    throw error;
  }
}

async function open({ config, log, database, onClose }: StateOptions): Promise<Omit<Server, "close">> {
  const tls = config.tls && readTlsMaterial(config.tls, new Date());
  const state = await openState({ config, log, database, onClose });
  const { sql, masterKey, authority, logStore, writer, contents } = state;
  const { replicaId, storeEpoch } = writer;
  const random = createSecureRandom();
  const placing = await openPlacing({ config, log, state, random, onClose });
  openUpkeep({ config, state, placing });
  const { meters, notifications, fleet, registry, placer, recorder, loops, runLoop, runnerFeed, workloadFeed } =
    placing;
  const { onRunnersChanged, onWorkloadsChanged, tellRunner } = placing;

  const running = await openRuns({ config, log, state, placing, random, onClose });
  const triggering = openTriggers({ config, log, state, placing, running, onClose });
  const webhooks = openWebhooks({ config, log, state, placing, onClose });

  // The contract, once for both planes: each method exists on the one that its option names.
  let leaf = await authority.issueControlPlaneLeaf({ now: new Date(), ttl_ms: leafTtl_ms });
  const network = openNetwork({ config, log, state, placing, onClose });
  const endpoints = createRunnerEndpoints(config, network?.endpoint);
  const accept: RunnerPlane["accept"] = (connection, from) => runnerPlane.accept(connection, from);
  const ways = { dial: network?.dial, accept, ownEndpoint: endpoints.own };
  const tunnels = await openTunnels({ config, log, state, placing, ...ways, onClose });
  const onRevoked = () => {
    revocations.signal();
    notifications.send("revocations");
  };
  const overlayServices = (runnerId: string) => (network ? [network.services.ofRunner(runnerId)] : []);
  const sessionDeps: SessionDeps = {
    sql,
    writer,
    registry,
    recorder,
    placer,
    fleet,
    masterKey,
    log,
    endpoints: endpoints.all,
    overlayServices,
    heartbeat_ms: config.heartbeat_ms,
    lease_ms: config.lease_ms,
    certificateTtl_ms: config.certificateTtl_ms,
    metricsInterval_ms: config.metricsInterval_ms,
    onRunnersChanged,
    onRevoked,
  };
  const protoDeps = { sql, fleet, trustDomain: authority.trustDomain, overlayServices };
  const shown = { leaf: () => leaf, endpoints: endpoints.all };
  const enrollment = createEnrollmentMethods({ config, state, placing, network, ...shown, onRevoked });
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
      ...enrollment,
      ...createMetrics({
        sql,
        metricsInterval_ms: config.metricsInterval_ms,
        onDropped: (reason, count) => meters.samplesDropped.add(count, reason),
      }),
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
        runSession: (caller, requests, line) => runSession(sessionDeps, caller, requests, line),
      }),
    );
    router.service(
      LogsService,
      createLogsService({
        sql,
        logStore,
        pushLogs: (caller, requests) =>
          pushLogs({ sql, logStore, onBytes: (bytes) => meters.logBytes.add(bytes) }, caller, requests),
        untilPlaced: createPlacementWait({ sql, feed: workloadFeed }),
      }),
    );
    router.service(TunnelsService, createTunnelsService({ sql, masterKey, tunnels }));
    const { startDeps, advanceDeps, onAdvanced, onQueueChanged, runnerName } = running;
    const { feed, cancelRun, queueState, view, takeJobs, artifacts, bundles } = running;
    router.service(
      ProjectsService,
      createProjectsService({ sql, onQueueChanged, allowFileSources: startDeps.allowFileSources }),
    );
    router.service(RunsService, createRunsService({ ...startDeps, storeEpoch, feed, cancelRun, runnerName }));
    const queueDeps = { ...advanceDeps, state: queueState, view, runnerName, onAdvanced, onQueueChanged };
    router.service(QueueService, createQueueService({ ...queueDeps, onJobsChanged: takeJobs }));
    triggering.routes(router);
    webhooks.routes(router);
    router.service(ArtifactsService, createArtifactsService({ sql, contents, artifacts, bundles }));
    router.service(SecretsService, createSecretsService({ sql, masterKey }));
    router.service(OrganizationsService, createOrganizationsService({ sql }));
    router.service(UsersService, createUsersService({ sql }));
    router.service(AccessTokensService, createAccessTokensService({ sql }));
    router.service(AuditService, createAuditService({ sql }));
    router.service(OverlayService, createOverlayService({ sql, overlays: config.overlays, network }));
    router.service(
      Health,
      createHealthService(() => isReady({ sql, loops }), new Set(services.map((one) => one.typeName))),
    );
    router.service(ServerReflection, createReflectionService(services));
    const own = { version, trustDomain: authority.trustDomain, replicaId, runnerEndpoints: endpoints.texts() };
    router.service(ServerService, createServerService(own));
  };
  const authenticate = createAuthenticator({ sql, cache_ms: authenticationCache_ms });
  const interceptors = (plane: Plane) => {
    const checks = { authenticateTrigger: triggering.authenticate, checkRunner: createRunnerCheck(sql) };
    const access = { sql, plane, authenticate, recheckPeriod_ms, ...checks };
    return [
      createStreamInterceptor(meters.openStreams),
      createErrorInterceptor(log, (reason) => meters.refusals.add(1, reason)),
      createAuthenticationInterceptor(access),
      validateInterceptor,
      createAuthorizationInterceptor(access),
    ];
  };

  // The listeners: runners first, so that what the user port answers is true.
  const runnerPlane = await openRunnerPlane({
    listen: endpoints.listen,
    sidecar: config.sidecar?.listen,
    authority,
    leaf,
    routes,
    interceptors: interceptors(Plane.RUNNER),
    log,
  });
  endpoints.opened(runnerPlane.address);
  onClose(() => runnerPlane.close(config.shutdownGrace_ms));
  const enrollmentOptions = { leaf, methods: enrollment, interceptors: interceptors(Plane.USER), log };
  const enrollmentPlane = openEnrollmentPlane(enrollmentOptions);
  onClose(enrollmentPlane.close);
  const revocations = await openRevocations({ config, state, placing, runnerPlane });
  runLoop("renew-own-certificate", leafRenewal_ms, async () => {
    leaf = await authority.issueControlPlaneLeaf({ now: new Date(), ttl_ms: leafTtl_ms });
    runnerPlane.replaceLeaf(leaf);
    enrollmentPlane.replaceLeaf(leaf);
  });
  const pages = createPages({ sql, loops, meters, placer, registry, authenticate, openMetrics: config.openMetrics });
  const userPlane = await openUserPlane({
    listen: config.listen,
    tls,
    routes,
    interceptors: interceptors(Plane.USER),
    pages,
    hooks: triggering.hooks,
    plain: createArtifactDownload({ sql, contents, authenticate }),
    trustedProxies: config.trustedProxies,
    conversations,
  });
  onClose(async () => {
    // No runner may come back while the last calls finish.
    const closing = [runnerPlane.close(config.shutdownGrace_ms), userPlane.close(config.shutdownGrace_ms)];
    for (const session of registry.all()) session.end("UNAVAILABLE", "the control plane is stopping", 500);
    await Promise.all(closing);
  });
  void network?.host([
    { service: network.services.controlPlane, accept: runnerPlane.accept },
    { service: network.services.enrollment, accept: enrollmentPlane.accept },
  ]);
  const gateway = await announceGateway(state.directory, userPlane.address, tls);
  return {
    gateway,
    userAddress: userPlane.address,
    runnerAddress: runnerPlane.address ?? config.runnerListen,
    runnerEndpoints: endpoints.texts(),
  };
}
