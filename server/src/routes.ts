import type { ConnectRouter } from "@connectrpc/connect";
import type { Logger } from "pino";
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
import { AccessTokensService } from "../../proto/gen/agyn/tokens/v1/access_tokens_service_pb.ts";
import { TunnelsService } from "../../proto/gen/agyn/tunnels/v1/tunnels_service_pb.ts";
import { UsersService } from "../../proto/gen/agyn/users/v1/users_service_pb.ts";
import { Health } from "../../proto/gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../../proto/gen/grpc/reflection/v1/reflection_pb.ts";
import { createAccessTokensService } from "./api/access-tokens-service.ts";
import { createArtifactsService } from "./api/artifacts-service.ts";
import { createAuditService } from "./api/audit-service.ts";
import { createHealthService } from "./api/health-service.ts";
import { createLogsService } from "./api/logs-service.ts";
import { createMetrics } from "./api/metrics-service.ts";
import { createOrchestratorService } from "./api/orchestrator-service.ts";
import { createOrganizationsService } from "./api/organizations-service.ts";
import { createOverlayService } from "./api/overlay-service.ts";
import { isReady } from "./api/pages.ts";
import { services } from "./api/permissions.ts";
import { createPlacementWait } from "./api/placement-wait.ts";
import { createProjectsService } from "./api/projects-service.ts";
import { createQueueService } from "./api/queue-service.ts";
import { createReflectionService } from "./api/reflection-service.ts";
import { createRunnerManagement } from "./api/runners-service.ts";
import { createRunnerWatch } from "./api/runners-watch.ts";
import { createRunsService } from "./api/runs-service.ts";
import { createSecretsService } from "./api/secrets-service.ts";
import { createServerService } from "./api/server-service.ts";
import { createTunnelsService } from "./api/tunnels-service.ts";
import { createUsersService } from "./api/users-service.ts";
import type { Config } from "./config.ts";
import type { createEnrollmentMethods } from "./enrollment-methods.ts";
import type { openNetwork } from "./open-network.ts";
import type { openPlacing } from "./open-placing.ts";
import type { openRuns } from "./open-runs.ts";
import type { State } from "./open-state.ts";
import type { openTriggers } from "./open-triggers.ts";
import type { openTunnels } from "./open-tunnels.ts";
import type { openWebhooks } from "./open-webhooks.ts";
import type { createRunnerEndpoints } from "./runner-endpoints.ts";
import { pushLogs } from "./sessions/push-logs.ts";
import { runSession, type SessionDeps } from "./sessions/run-session.ts";
import { version } from "./version.ts";

/** What the services are made of. */
export type RoutesOptions = {
  config: Config;
  log: Logger;
  state: State;
  placing: Awaited<ReturnType<typeof openPlacing>>;
  running: Awaited<ReturnType<typeof openRuns>>;
  triggering: ReturnType<typeof openTriggers>;
  webhooks: ReturnType<typeof openWebhooks>;
  network: ReturnType<typeof openNetwork>;
  endpoints: ReturnType<typeof createRunnerEndpoints>;
  tunnels: Awaited<ReturnType<typeof openTunnels>>;
  enrollment: ReturnType<typeof createEnrollmentMethods>;
  /** An identity counts no more. */
  onRevoked: () => void;
};

/** The contract, once for both planes: each method exists on the one that its option names. */
export function createRoutes(options: RoutesOptions): (router: ConnectRouter) => void {
  const runners = createRunners(options);
  const orchestrator = createOrchestrator(options);
  return (router) => {
    router.service(RunnersService, runners);
    router.service(OrchestratorService, orchestrator);
    routeWorkloads(router, options);
    routeRuns(router, options);
    options.triggering.routes(router);
    options.webhooks.routes(router);
    routePeople(router, options);
    routeServer(router, options);
  };
}

function createRunners({ config, state, placing, network, enrollment, onRevoked }: RoutesOptions) {
  const { sql, authority, writer } = state;
  const { fleet, meters, runnerFeed, onRunnersChanged, onWorkloadsChanged } = placing;
  const overlayServices = overlayServicesOf(network);
  const protoDeps = { sql, fleet, trustDomain: authority.trustDomain, overlayServices };
  return {
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
    ...createRunnerWatch({ ...protoDeps, storeEpoch: writer.storeEpoch, feed: runnerFeed }),
    ...enrollment,
    ...createMetrics({
      sql,
      metricsInterval_ms: config.metricsInterval_ms,
      onDropped: (reason, count) => meters.samplesDropped.add(count, reason),
    }),
  };
}

/** The services of a runner in the network. */
function overlayServicesOf(network: RoutesOptions["network"]): (runnerId: string) => string[] {
  return (runnerId) => (network ? [network.services.ofRunner(runnerId)] : []);
}

function createOrchestrator({ config, log, state, placing, network, endpoints, onRevoked }: RoutesOptions) {
  const { sql, writer, masterKey } = state;
  const { placer, fleet, registry, recorder, workloadFeed, onRunnersChanged, onWorkloadsChanged, tellRunner } = placing;
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
    overlayServices: overlayServicesOf(network),
    heartbeat_ms: config.heartbeat_ms,
    lease_ms: config.lease_ms,
    certificateTtl_ms: config.certificateTtl_ms,
    metricsInterval_ms: config.metricsInterval_ms,
    onRunnersChanged,
    onRevoked,
  };
  return createOrchestratorService({
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
  });
}

/** What comes out of workloads, and goes into them. */
function routeWorkloads(router: ConnectRouter, { state, placing, running, tunnels }: RoutesOptions): void {
  const { sql, masterKey, logStore, contents } = state;
  const { meters, workloadFeed } = placing;
  const pushDeps = { sql, logStore, onBytes: (bytes: number) => meters.logBytes.add(bytes) };
  router.service(
    LogsService,
    createLogsService({
      sql,
      logStore,
      pushLogs: (caller, requests) => pushLogs(pushDeps, caller, requests),
      untilPlaced: createPlacementWait({ sql, feed: workloadFeed }),
    }),
  );
  router.service(TunnelsService, createTunnelsService({ sql, masterKey, tunnels }));
  const { artifacts, bundles } = running;
  router.service(ArtifactsService, createArtifactsService({ sql, contents, artifacts, bundles }));
}

function routeRuns(router: ConnectRouter, { state, running }: RoutesOptions): void {
  const { sql, masterKey, writer } = state;
  const { startDeps, advanceDeps, onAdvanced, onQueueChanged, runnerName } = running;
  const { feed, cancelRun, queueState, view, takeJobs } = running;
  const { storeEpoch } = writer;
  router.service(
    ProjectsService,
    createProjectsService({ sql, onQueueChanged, allowFileSources: startDeps.allowFileSources }),
  );
  router.service(RunsService, createRunsService({ ...startDeps, storeEpoch, feed, cancelRun, runnerName }));
  const queueDeps = { ...advanceDeps, state: queueState, view, runnerName, onAdvanced, onQueueChanged };
  router.service(QueueService, createQueueService({ ...queueDeps, onJobsChanged: takeJobs }));
  router.service(SecretsService, createSecretsService({ sql, masterKey }));
}

function routePeople(router: ConnectRouter, { state: { sql } }: RoutesOptions): void {
  router.service(OrganizationsService, createOrganizationsService({ sql }));
  router.service(UsersService, createUsersService({ sql }));
  router.service(AccessTokensService, createAccessTokensService({ sql }));
  router.service(AuditService, createAuditService({ sql }));
}

/** What the control plane says of itself. */
function routeServer(router: ConnectRouter, options: RoutesOptions): void {
  const { config, state, placing, network, endpoints } = options;
  const { sql, authority, writer } = state;
  const names = new Set(services.map(({ typeName }) => typeName));
  router.service(OverlayService, createOverlayService({ sql, overlays: config.overlays, network }));
  router.service(
    Health,
    createHealthService(() => isReady({ sql, loops: placing.loops }), names),
  );
  router.service(ServerReflection, createReflectionService(services));
  router.service(
    ServerService,
    createServerService({
      version,
      trustDomain: authority.trustDomain,
      replicaId: writer.replicaId,
      runnerEndpoints: endpoints.texts(),
    }),
  );
}
