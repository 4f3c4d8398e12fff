import { createContextValues, type Interceptor, type ServiceImpl } from "@connectrpc/connect";
import https from "node:https";
import type { Duplex } from "node:stream";
import type { Logger } from "pino";
import { RunnersService } from "../../../proto/gen/agyn/runners/v1/runners_service_pb.ts";
import type { ControlPlaneLeaf } from "../identity/authority.ts";
import { sourceKey } from "./context.ts";
import { createRequestHandler } from "./request-handler.ts";

/** What a machine may call that has no identity, or one that has expired. */
export type EnrollmentMethods = Pick<
  ServiceImpl<typeof RunnersService>,
  "startEnrollment" | "enroll" | "renewExpiredIdentity" | "enrollInNetwork"
>;

export type EnrollmentPlaneOptions = {
  leaf: ControlPlaneLeaf;
  methods: EnrollmentMethods;
  interceptors: Interceptor[];
  log: Logger;
};

/** The listener of those who have no identity yet, in a network. */
export type EnrollmentPlane = {
  /** Takes over a connection of an overlay. */
  accept(connection: Duplex): void;
  /** Shows another certificate from the next connection on. */
  replaceLeaf(leaf: ControlPlaneLeaf): void;
  /** Ends what is open: whoever enrolls tries again. */
  close(): Promise<void>;
};

/** Where all come from, for the audit. */
const source = "agyn-enroll";
/** What one request may hold: a certificate request, a certificate and a signature are a few kilobytes. */
const maximumRequest_bytes = 65_536;
/** Connections at one time; beyond it the oldest gives way, so that nobody keeps others out by saying nothing. */
const connectionLimit = 1024;
const timeouts = {
  handshakeTimeout: 10_000,
  headersTimeout: 10_000,
  requestTimeout: 20_000,
  keepAliveTimeout: 5000,
  connectionsCheckingInterval: 2500,
} as const;

/**
 * Serves enrollment alone, by HTTP/1.1 over TLS 1.3 in which the control plane shows its certificate up to the root, which runners
 * know by the pin in their service token. It listens nowhere, and believes nothing that a network says of a caller (I5): all who
 * come by it are one source, which is no address.
 */
export function openEnrollmentPlane({ leaf, methods, interceptors, log }: EnrollmentPlaneOptions): EnrollmentPlane {
  const handle = createRequestHandler({
    routes: (router) => {
      const { startEnrollment, enroll, renewExpiredIdentity, enrollInNetwork } = RunnersService.method;
      router.rpc(startEnrollment, methods.startEnrollment);
      router.rpc(enroll, methods.enroll);
      router.rpc(renewExpiredIdentity, methods.renewExpiredIdentity);
      router.rpc(enrollInNetwork, methods.enrollInNetwork);
    },
    interceptors,
    readMaxBytes: maximumRequest_bytes,
    contextValues: () => createContextValues().set(sourceKey, source),
  });
  const connections = new Set<Duplex>();
  const tls = { minVersion: "TLSv1.3", ALPNProtocols: ["http/1.1"], maxHeaderSize: 16_384 } as const;
  const server = https.createServer({ ...timeouts, ...tls, ...certificateOf(leaf) }, handle);
  server.on("tlsClientError", (error, socket) => {
    log.info({ err: error }, "enrollment connection refused");
    socket.destroy();
  });
  // Only a server that listens looks after the time-outs of its connections.
  server.emit("listening");

  return {
    accept(connection) {
      connection.on("error", () => {});
      connection.allowHalfOpen = false;
      const [oldest] = connections;
      if (connections.size >= connectionLimit) oldest?.destroy();
      connections.add(connection);
      connection.once("close", () => connections.delete(connection));
      server.emit("connection", connection);
    },
    replaceLeaf: (next) => server.setSecureContext({ minVersion: tls.minVersion, ...certificateOf(next) }),
    async close() {
      server.close();
      for (const connection of connections) connection.destroy();
    },
  };
}

function certificateOf({ key, fullChainPem }: ControlPlaneLeaf) {
  return { key: key.export({ type: "pkcs8", format: "pem" }), cert: fullChainPem };
}
