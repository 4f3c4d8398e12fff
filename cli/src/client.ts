import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import type { DescMethod } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient, type Client, type Interceptor, type Transport } from "@connectrpc/connect";
import { createConnectTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { ArtifactsService } from "../../proto/gen/agyn/artifacts/v1/artifacts_service_pb.ts";
import { AuditService } from "../../proto/gen/agyn/audit/v1/audit_service_pb.ts";
import { LogsService } from "../../proto/gen/agyn/logs/v1/logs_service_pb.ts";
import { OrchestratorService } from "../../proto/gen/agyn/orchestrator/v1/orchestrator_service_pb.ts";
import { OrganizationsService } from "../../proto/gen/agyn/organizations/v1/organizations_service_pb.ts";
import { OverlayService } from "../../proto/gen/agyn/overlay/v1/overlay_service_pb.ts";
import { ProjectsService } from "../../proto/gen/agyn/projects/v1/projects_service_pb.ts";
import { QueueService } from "../../proto/gen/agyn/queue/v1/queue_service_pb.ts";
import { RunnersService } from "../../proto/gen/agyn/runners/v1/runners_service_pb.ts";
import { RunsService } from "../../proto/gen/agyn/runs/v1/runs_service_pb.ts";
import { ServerService } from "../../proto/gen/agyn/server/v1/server_service_pb.ts";
import { TriggersService } from "../../proto/gen/agyn/triggers/v1/triggers_service_pb.ts";
import { WebhooksService } from "../../proto/gen/agyn/webhooks/v1/webhooks_service_pb.ts";
import { SecretsService } from "../../proto/gen/agyn/secrets/v1/secrets_service_pb.ts";
import { AccessTokensService } from "../../proto/gen/agyn/tokens/v1/access_tokens_service_pb.ts";
import { TunnelsService } from "../../proto/gen/agyn/tunnels/v1/tunnels_service_pb.ts";
import { UsersService } from "../../proto/gen/agyn/users/v1/users_service_pb.ts";
import { gatewayTrust, type GatewayTrust } from "../../wire/gateway-trust.ts";
import type { Credentials } from "./credentials.ts";
import { exitCodes, Failure } from "./failures.ts";

/** The control plane's services for one caller. */
export interface ControlPlane {
  readonly artifacts: Client<typeof ArtifactsService>;
  readonly audit: Client<typeof AuditService>;
  readonly logs: Client<typeof LogsService>;
  readonly orchestrator: Client<typeof OrchestratorService>;
  readonly organizations: Client<typeof OrganizationsService>;
  readonly overlay: Client<typeof OverlayService>;
  readonly projects: Client<typeof ProjectsService>;
  readonly queue: Client<typeof QueueService>;
  readonly runners: Client<typeof RunnersService>;
  readonly runs: Client<typeof RunsService>;
  readonly server: Client<typeof ServerService>;
  readonly secrets: Client<typeof SecretsService>;
  readonly tokens: Client<typeof AccessTokensService>;
  readonly triggers: Client<typeof TriggersService>;
  readonly tunnels: Client<typeof TunnelsService>;
  readonly webhooks: Client<typeof WebhooksService>;
  readonly users: Client<typeof UsersService>;
  /** Ends every connection at once. */
  close(): void;
}

export interface ConnectOptions {
  readonly requestTimeoutMs: number;
  /** Ends every call, for Ctrl-C. */
  readonly signal: AbortSignal;
  /** Called whenever the control plane has answered a call. */
  readonly onAnswer: () => void;
}

/** The largest message that is read; nothing the server answers comes near. */
const maximumMessageBytes = 32 * 1024 * 1024;
const handshakeTimeoutMs = 10_000;
/** A connection that answers no ping within this time is given up, which is what bounds streams. */
const pingIntervalMs = 10_000;
const pingTimeoutMs = 10_000;
/** Waits before the second and the third try of a call that is safe to repeat. */
const retryDelaysMs = [200, 1000] as const;

/** For calls that have no time-out of their own because they last as long as somebody watches. */
export const streamOptions = { timeoutMs: 0 } as const;

/** Connects to the gateway: HTTP/2, with or without TLS; HTTP/1.1 where a TLS proxy in between speaks nothing newer. */
export async function connectControlPlane(credentials: Credentials, options: ConnectOptions): Promise<ControlPlane> {
  const { gateway, caFile } = credentials;
  const trust = caFile === undefined || !gateway.startsWith("https:") ? {} : readTrust(caFile);
  const common = {
    baseUrl: gateway,
    defaultTimeoutMs: options.requestTimeoutMs,
    readMaxBytes: maximumMessageBytes,
    interceptors: [retrySafeCalls, authenticate(credentials.token, options)],
  };
  if (gateway.startsWith("https:") && (await negotiateProtocol(gateway, trust)) === "http/1.1") {
    const interceptors = [refuseConversations, ...common.interceptors];
    const transport = createConnectTransport({ ...common, interceptors, httpVersion: "1.1", nodeOptions: trust });
    return createServices(transport, transport, () => undefined);
  }
  const sessionManager = new Http2SessionManager(
    gateway,
    { pingIntervalMs, pingTimeoutMs, idleConnectionTimeoutMs: 60_000 },
    trust,
  );
  const overHttp2 = { ...common, httpVersion: "2", sessionManager } as const;
  const transport = createConnectTransport(overHttp2);
  const plain = createConnectTransport({ ...overHttp2, acceptCompression: [] });
  return createServices(transport, plain, () => sessionManager.abort());
}

/** `plain`: where nothing is compressed, for bytes that come as fast as they can. */
function createServices(transport: Transport, plain: Transport, close: () => void): ControlPlane {
  return {
    artifacts: createClient(ArtifactsService, transport),
    audit: createClient(AuditService, transport),
    logs: createClient(LogsService, transport),
    orchestrator: createClient(OrchestratorService, transport),
    organizations: createClient(OrganizationsService, transport),
    overlay: createClient(OverlayService, transport),
    projects: createClient(ProjectsService, transport),
    queue: createClient(QueueService, transport),
    runners: createClient(RunnersService, transport),
    runs: createClient(RunsService, transport),
    server: createClient(ServerService, transport),
    secrets: createClient(SecretsService, transport),
    tokens: createClient(AccessTokensService, transport),
    triggers: createClient(TriggersService, transport),
    tunnels: createClient(TunnelsService, plain),
    webhooks: createClient(WebhooksService, transport),
    users: createClient(UsersService, transport),
    close,
  };
}

function readTrust(path: string): GatewayTrust {
  let pem: string;
  try {
    pem = readFileSync(path, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new Failure(`the certificates in ${path} cannot be read (${code})`, exitCodes.usage);
  }
  const trust = gatewayTrust(pem);
  if ("error" in trust) throw new Failure(`${path} ${trust.error}`, exitCodes.usage);
  return trust;
}

/** What the TLS side of the gateway speaks, asked by a handshake of its own. */
async function negotiateProtocol(gateway: string, trust: GatewayTrust): Promise<"h2" | "http/1.1"> {
  const { hostname, port } = new URL(gateway);
  const host = hostname.replace(/^\[|\]$/g, "");
  const { promise, resolve, reject } = Promise.withResolvers<"h2" | "http/1.1">();
  const servername = /^[\d.]+$|:/.test(host) ? {} : { servername: host };
  const socket = connectTls({
    host,
    port: Number(port === "" ? 443 : port),
    ALPNProtocols: ["h2", "http/1.1"],
    ...servername,
    ...trust,
  });
  socket.setTimeout(handshakeTimeoutMs, () =>
    socket.destroy(new Error(`no TLS handshake within ${handshakeTimeoutMs / 1000} s`)),
  );
  socket.once("secureConnect", () => resolve(socket.alpnProtocol === "h2" ? "h2" : "http/1.1"));
  socket.once("error", (error) => reject(ConnectError.from(error, Code.Unavailable)));
  try {
    return await promise;
  } finally {
    socket.destroy();
  }
}

function authenticate(token: string | undefined, { signal, onAnswer }: ConnectOptions): Interceptor {
  return (next) => async (request) => {
    if (token !== undefined) request.header.set("Authorization", `Bearer ${token}`);
    const answer = await next({ ...request, signal: AbortSignal.any([request.signal, signal]) });
    onAnswer();
    return answer;
  };
}

/** A stream that goes both ways would hang where answers begin only after the whole request. */
const refuseConversations: Interceptor = (next) => async (request) => {
  if (request.method.methodKind !== "bidi_streaming") return next(request);
  const why = "this goes both ways at once, which needs HTTP/2 up to the control plane; a proxy here speaks HTTP/1.1";
  throw new ConnectError(why, Code.FailedPrecondition);
};

/** Calls that are always given a key, and so act once however often they are made. */
const keyedStarts: readonly DescMethod[] = [
  OrchestratorService.method.startWorkload,
  RunsService.method.startRun,
  RunsService.method.rerunRun,
];

/** Repeats calls that the server was not reached by, where repeating changes nothing: reads, and starts with a key. */
const retrySafeCalls: Interceptor = (next) => async (request) => {
  const isRead = request.method.idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS;
  if (request.stream || !(isRead || keyedStarts.includes(request.method))) return next(request);
  for (const wait of retryDelaysMs) {
    try {
      return await next(request);
    } catch (error) {
      if (ConnectError.from(error).code !== Code.Unavailable || request.signal.aborted) throw error;
      await delay(wait, undefined, { signal: request.signal });
    }
  }
  return next(request);
};
