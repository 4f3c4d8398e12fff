import type { DescService } from "@bufbuild/protobuf";
import { ArtifactsService } from "../../../proto/gen/agyn/artifacts/v1/artifacts_service_pb.ts";
import { AuditService } from "../../../proto/gen/agyn/audit/v1/audit_service_pb.ts";
import { LogsService } from "../../../proto/gen/agyn/logs/v1/logs_service_pb.ts";
import { OrchestratorService } from "../../../proto/gen/agyn/orchestrator/v1/orchestrator_service_pb.ts";
import { OrganizationsService } from "../../../proto/gen/agyn/organizations/v1/organizations_service_pb.ts";
import { OverlayService } from "../../../proto/gen/agyn/overlay/v1/overlay_service_pb.ts";
import { ProjectsService } from "../../../proto/gen/agyn/projects/v1/projects_service_pb.ts";
import { QueueService } from "../../../proto/gen/agyn/queue/v1/queue_service_pb.ts";
import { RunsService } from "../../../proto/gen/agyn/runs/v1/runs_service_pb.ts";
import { RunnersService } from "../../../proto/gen/agyn/runners/v1/runners_service_pb.ts";
import { SecretsService } from "../../../proto/gen/agyn/secrets/v1/secrets_service_pb.ts";
import { ServerService } from "../../../proto/gen/agyn/server/v1/server_service_pb.ts";
import { TriggersService } from "../../../proto/gen/agyn/triggers/v1/triggers_service_pb.ts";
import { AccessTokensService } from "../../../proto/gen/agyn/tokens/v1/access_tokens_service_pb.ts";
import { TunnelsService } from "../../../proto/gen/agyn/tunnels/v1/tunnels_service_pb.ts";
import { UsersService } from "../../../proto/gen/agyn/users/v1/users_service_pb.ts";
import { WebhooksService } from "../../../proto/gen/agyn/webhooks/v1/webhooks_service_pb.ts";
import { Health } from "../../../proto/gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../../../proto/gen/grpc/reflection/v1/reflection_pb.ts";
import { Plane } from "../../../proto/gen/agyn/options/v1/options_pb.ts";
import { accessOf } from "./interceptors/access.ts";

/** Every service of the contract. */
export const services: readonly DescService[] = [
  RunnersService,
  OrchestratorService,
  LogsService,
  TunnelsService,
  ProjectsService,
  RunsService,
  QueueService,
  TriggersService,
  WebhooksService,
  ArtifactsService,
  SecretsService,
  OrganizationsService,
  UsersService,
  AccessTokensService,
  AuditService,
  OverlayService,
  ServerService,
  Health,
  ServerReflection,
];

/** Every permission that the user plane's methods ask for, sorted: the scopes an access token may carry. */
export const permissions: readonly string[] = [
  ...new Set(
    services
      .flatMap((service) => service.methods)
      .map(accessOf)
      .filter((rule) => rule.plane === Plane.USER && rule.permission !== "" && rule.requiredRole !== "trigger_token")
      .map((rule) => rule.permission),
  ),
].toSorted();

/** Paths of the user plane's methods that go both ways at once. */
export const conversations: ReadonlySet<string> = new Set(
  services
    .flatMap((service) => service.methods)
    .filter((method) => method.methodKind === "bidi_streaming" && accessOf(method).plane === Plane.USER)
    .map((method) => `/${method.parent.typeName}/${method.name}`),
);
