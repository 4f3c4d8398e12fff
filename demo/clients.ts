import { createClient, type Client, type Interceptor } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { ArtifactsService } from "../proto/gen/agyn/artifacts/v1/artifacts_service_pb.ts";
import { LogsService } from "../proto/gen/agyn/logs/v1/logs_service_pb.ts";
import { OrchestratorService } from "../proto/gen/agyn/orchestrator/v1/orchestrator_service_pb.ts";
import { OrganizationsService } from "../proto/gen/agyn/organizations/v1/organizations_service_pb.ts";
import { ProjectsService } from "../proto/gen/agyn/projects/v1/projects_service_pb.ts";
import { QueueService } from "../proto/gen/agyn/queue/v1/queue_service_pb.ts";
import { RunnersService } from "../proto/gen/agyn/runners/v1/runners_service_pb.ts";
import { RunsService } from "../proto/gen/agyn/runs/v1/runs_service_pb.ts";

/** The control plane, as its admin reaches it. */
export type Clients = {
  runners: Client<typeof RunnersService>;
  orchestrator: Client<typeof OrchestratorService>;
  logs: Client<typeof LogsService>;
  organizations: Client<typeof OrganizationsService>;
  projects: Client<typeof ProjectsService>;
  runs: Client<typeof RunsService>;
  queue: Client<typeof QueueService>;
  artifacts: Client<typeof ArtifactsService>;
};

/** Clients of the user port, with the access token `token`. */
export function createClients(gateway: string, token: string): Clients {
  const authorize: Interceptor = (next) => (request) => {
    request.header.set("authorization", `Bearer ${token}`);
    return next(request);
  };
  const transport = createGrpcTransport({ baseUrl: gateway, interceptors: [authorize] });
  return {
    runners: createClient(RunnersService, transport),
    orchestrator: createClient(OrchestratorService, transport),
    logs: createClient(LogsService, transport),
    organizations: createClient(OrganizationsService, transport),
    projects: createClient(ProjectsService, transport),
    runs: createClient(RunsService, transport),
    queue: createClient(QueueService, transport),
    artifacts: createClient(ArtifactsService, transport),
  };
}
