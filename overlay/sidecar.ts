import { once } from "node:events";
import { rm } from "node:fs/promises";
import net from "node:net";
import { codeOf, messageOf, OverlayError } from "./errors.ts";
import { limited } from "./limited.ts";
import type { Listener, Overlay } from "./overlay.ts";
import { connectTcp, parseHostAndPort, type HostAndPort } from "./tcp.ts";

/** Where a tunneler takes connections, or hands them on: "host:port", or "unix:/path" for a socket in the file system. */
export type SidecarEndpoint = string;

/** What the adapter is told. */
export interface SidecarOptions {
  /** Where each service listens, for a tunneler that hands connections on. */
  readonly services?: Readonly<Record<string, SidecarEndpoint>>;
  readonly connectTimeout_ms?: number;
}

const defaultConnectTimeout_ms = 10_000;
/** Bytes of a socket's path that the system takes. */
const maxPath_bytes = 107;
const unixPrefix = "unix:";

/** The adapter for a tunneler beside this process, which carries the bytes by means of its own. */
export function createSidecarOverlay(options: SidecarOptions = {}): Overlay<SidecarEndpoint> {
  const timeout_ms = options.connectTimeout_ms ?? defaultConnectTimeout_ms;
  const closing = new AbortController();
  const servers = new Set<net.Server>();

  return {
    dial(endpoint, { signal } = {}) {
      const given = signal === undefined ? [closing.signal] : [closing.signal, signal];
      const what = `dialing the tunneler at ${endpoint}`;
      return limited({ what, timeout_ms, given, otherwise: "unreachable" }, async (until) =>
        connectTcp(readSidecarEndpoint(endpoint), until),
      );
    },

    async listen(service, onConnection) {
      const where = options.services?.[service];
      if (where === undefined)
        throw new OverlayError("address_unavailable", `no address is given for service ${service}`);
      const server = net.createServer({ allowHalfOpen: true, noDelay: true });
      server.on("connection", (socket) => {
        socket.on("error", () => {});
        onConnection(socket, { address: socket.remoteAddress ?? where });
      });
      try {
        await listenAt(server, readSidecarEndpoint(where), closing.signal);
      } catch (error) {
        if (error instanceof OverlayError) throw error;
        const why = `service ${service} cannot listen on ${where}: ${messageOf(error)}`;
        throw new OverlayError("address_unavailable", why, { cause: error });
      }
      servers.add(server);
      const listener: Listener<SidecarEndpoint> = { address: addressOf(server), close: () => closeServer(server) };
      return listener;
    },

    async close() {
      closing.abort();
      await Promise.all([...servers].map(closeServer));
    },
  };

  function closeServer(server: net.Server): Promise<void> {
    servers.delete(server);
    const { promise, resolve } = Promise.withResolvers<void>();
    server.close(() => resolve());
    return promise;
  }
}

/** Listens there, in the place of a process that was killed and left its socket behind. */
async function listenAt(server: net.Server, place: SidecarPlace, signal: AbortSignal): Promise<void> {
  // A tunneler often has another user. Who may speak is for the secure layer to say, as it is on a port.
  const options = "path" in place ? { ...place, readableAll: true, writableAll: true } : place;
  try {
    await once(server.listen(options), "listening", { signal });
  } catch (error) {
    if (!("path" in place) || codeOf(error) !== "EADDRINUSE" || (await answers(place, signal))) throw error;
    await rm(place.path);
    await once(server.listen(options), "listening", { signal });
  }
}

async function answers(place: SidecarPlace, signal: AbortSignal): Promise<boolean> {
  try {
    (await connectTcp(place, signal)).destroy();
    return true;
  } catch (error) {
    return codeOf(error) !== "ECONNREFUSED";
  }
}

/** A port, or a socket in the file system. */
export type SidecarPlace = { readonly path: string } | HostAndPort;

/** The parts of an endpoint. Throws an `OverlayError` that says what is wrong with it. */
export function readSidecarEndpoint(endpoint: SidecarEndpoint): SidecarPlace {
  if (endpoint.startsWith(unixPrefix)) {
    const path = endpoint.slice(unixPrefix.length);
    if (path.startsWith("/") && Buffer.byteLength(path) <= maxPath_bytes) return { path };
    const rule = `an absolute path of at most ${maxPath_bytes} bytes`;
    throw new OverlayError("address_unavailable", `${endpoint}: after unix: comes ${rule}`);
  }
  const place = parseHostAndPort(endpoint);
  if (place === undefined)
    throw new OverlayError("address_unavailable", `${endpoint} is neither host:port nor unix:/path`);
  return place;
}

function addressOf(server: net.Server): SidecarEndpoint {
  const address = server.address();
  if (typeof address === "string") return `${unixPrefix}${address}`;
  if (address === null) throw new OverlayError("cancelled", "the listener was closed");
  return address.family === "IPv6" ? `[${address.address}]:${address.port}` : `${address.address}:${address.port}`;
}
