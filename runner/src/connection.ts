import type { Transport } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import type { MtlsEndpoint } from "../../overlay/mtls.ts";
import type { Overlay } from "../../overlay/overlay.ts";
import { openSecureSocket } from "../../overlay/secure-client.ts";
import { http2Options } from "../../overlay/secure-limits.ts";
import type { StoredIdentity } from "./identity-store.ts";
import { messageOf } from "./refusal.ts";

/** Bytes of one message that is read from the control plane. */
export const maximumMessageBytes = 16 * 1024 * 1024;
/** How often a silent connection is asked whether it is there, and how long the answer may take. */
const pingIntervalMs = 10_000;
const pingTimeoutMs = 10_000;
/** Far beyond any session: an idle connection is ended by its session, never by time. */
const idleConnectionTimeoutMs = 2_000_000_000;

/** One HTTP/2 connection to the runner plane, for all streams of a session. It never dials again by itself. */
export type Connection = { transport: Transport; close(): void };

export type ConnectionOptions = { overlay: Overlay<MtlsEndpoint>; identity: StoredIdentity; signal: AbortSignal };

/** Dials the endpoints in their order and takes the first that proves to be the control plane. */
export async function openConnection(options: ConnectionOptions): Promise<Connection> {
  const failures: unknown[] = [];
  for (const endpoint of options.identity.endpoints) {
    try {
      return await openEndpoint(parseEndpoint(endpoint), options);
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length === 0) throw new Error("the control plane named no endpoint of the runner plane");
  throw new Error(failures.map(messageOf).join("; "), { cause: failures[0] });
}

/** The parts of "host:port", an IPv6 host in brackets. */
export function parseEndpoint(text: string): MtlsEndpoint {
  const match = /^(?:\[([0-9a-fA-F:.%]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || port > 65_535) throw new Error(`endpoint ${JSON.stringify(text)} is not host:port`);
  return { host, port };
}

async function openEndpoint(endpoint: MtlsEndpoint, options: ConnectionOptions): Promise<Connection> {
  const { overlay, identity, signal } = options;
  const { keyPem, chainPem, rootPem, trustDomain } = identity;
  const dial = (dialSignal: AbortSignal) => overlay.dial(endpoint, { signal: dialSignal });
  const socket = await openSecureSocket(dial, { keyPem, chainPem, rootPem, trustDomain, signal });

  const baseUrl = "https://control-plane";
  const sessionManager = new Http2SessionManager(
    baseUrl,
    { pingIntervalMs, pingTimeoutMs, pingIdleConnection: true, idleConnectionTimeoutMs },
    {
      settings: http2Options.settings,
      createConnection() {
        if (socket.destroyed) throw new Error("the connection to the control plane is gone");
        return socket;
      },
    },
  );
  const transport = createGrpcTransport({
    baseUrl,
    sessionManager,
    acceptCompression: [],
    readMaxBytes: maximumMessageBytes,
  });
  return {
    transport,
    close() {
      sessionManager.abort();
      socket.destroy();
    },
  };
}
