import net from "node:net";
import { OverlayError, messageOf } from "./errors.ts";
import { limited } from "./limited.ts";
import type { Caller, Listener, Overlay } from "./overlay.ts";
import { openTunnel, proxyFor, type ProxySettings } from "./proxy.ts";
import { connectTcp, keepAliveDelay_ms, type HostAndPort } from "./tcp.ts";

/** Where the plain-TCP adapter dials and listens. */
export type MtlsEndpoint = HostAndPort;

/** What the adapter is told. */
export interface MtlsOptions {
  /** Where each service listens; port 0 takes a free one. */
  readonly services?: Readonly<Record<string, MtlsEndpoint>>;
  /** HTTP proxies on the dialing side. */
  readonly proxy?: ProxySettings;
  readonly connectTimeout_ms?: number;
}

const defaultConnectTimeout_ms = 10_000;
/** Connections the system holds for a busy process. */
const backlog_connections = 1024;

/** The adapter over plain TCP, directly or through an HTTP proxy by CONNECT. Mutual TLS is the secure layer's. */
export function createMtlsOverlay(options: MtlsOptions = {}): Overlay<MtlsEndpoint> {
  const timeout_ms = options.connectTimeout_ms ?? defaultConnectTimeout_ms;
  const closing = new AbortController();
  const listeners = new Set<Listener<MtlsEndpoint>>();

  return {
    dial(endpoint, { signal } = {}) {
      const given = signal === undefined ? [closing.signal] : [closing.signal, signal];
      const what = `dialing ${endpoint.host}:${endpoint.port}`;
      return limited({ what, timeout_ms, given, otherwise: "unreachable" }, async (until) => {
        const proxy = proxyFor(endpoint, options.proxy ?? {});
        return proxy === undefined ? connectTcp(endpoint, until) : openTunnel(proxy, endpoint, until);
      });
    },

    async listen(service, onConnection) {
      const where = options.services?.[service];
      if (where === undefined)
        throw new OverlayError("address_unavailable", `no address is given for service ${service}`);

      const listener = await listenTcp(where, onConnection);
      const tracked = {
        address: listener.address,
        async close() {
          listeners.delete(tracked);
          await listener.close();
        },
      };
      listeners.add(tracked);
      return tracked;
    },

    async close() {
      closing.abort();
      await Promise.all([...listeners].map((listener) => listener.close()));
    },
  };
}

async function listenTcp(
  { host, port }: MtlsEndpoint,
  onConnection: (connection: net.Socket, from: Caller) => void,
): Promise<Listener<MtlsEndpoint>> {
  const server = net.createServer({
    allowHalfOpen: true,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: keepAliveDelay_ms,
  });
  server.on("connection", (socket) => {
    // A reset before anybody listens must not end the process; who holds the socket sees its close.
    socket.on("error", () => {});
    onConnection(socket, { address: socket.remoteAddress ?? "unknown" });
  });

  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  server.listen({ host, port, backlog: backlog_connections }, resolve);
  try {
    await promise;
  } catch (error) {
    const message = `cannot listen on ${host}:${port}: ${messageOf(error)}`;
    throw new OverlayError("address_unavailable", message, { cause: error });
  }
  server.off("error", reject);

  const bound = server.address();
  return {
    address: { host, port: typeof bound === "object" && bound !== null ? bound.port : port },
    close: () => new Promise((done) => server.close(() => done())),
  };
}
