import http2 from "node:http2";
import type { Duplex } from "node:stream";
import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { OverlayError } from "../../overlay/errors.ts";
import { openSecureSocket } from "../../overlay/secure-client.ts";
import { connectionWindow_bytes, http2Options } from "../../overlay/secure-limits.ts";
import { describeEndpoint } from "./endpoints.ts";
import type { RunnerEndpoint, StoredIdentity } from "./identity-store.ts";
import { messageOf } from "./refusal.ts";
import type { RunnerOverlay } from "./runner-overlay.ts";

/** Bytes of one message that is read from the control plane. */
export const maximumMessageBytes = 16 * 1024 * 1024;
/** How often a silent connection is asked whether it is there, and how long the answer may take. */
const pingIntervalMs = 10_000;
const pingTimeoutMs = 10_000;
/** Characters of what the other side says when it ends the connection. */
const maximumLastWords = 1024;
/** A name for the other side; its certificate says who it is. */
const baseUrl = "https://control-plane";

/** One HTTP/2 connection to the runner plane, for all streams of a session. It never dials again by itself. */
export type Connection = {
  transport: Transport;
  /** Why the other side ended the connection, where it said so. */
  readonly lastWords: string | undefined;
  close(): void;
};

export type ConnectionOptions = { identity: StoredIdentity; signal: AbortSignal };

/**
 * Dials the endpoints in their order and takes the first that proves to be the control plane. Rejects with an `OverlayError`:
 * "unauthorized" where a network does not let this identity in.
 */
export async function openConnection({
  overlay,
  ...options
}: ConnectionOptions & { overlay: RunnerOverlay }): Promise<Connection & { endpoint: RunnerEndpoint }> {
  const failures: string[] = [];
  let isRefused = false;
  for (const endpoint of options.identity.endpoints) {
    try {
      const connection = await openOver((signal) => overlay.dial(endpoint, { signal }), options);
      return Object.assign(connection, { endpoint });
    } catch (error) {
      failures.push(`${describeEndpoint(endpoint)}: ${messageOf(error)}`);
      isRefused ||= error instanceof OverlayError && error.reason === "unauthorized";
    }
  }
  const text = failures.length === 0 ? "the control plane named no endpoint of the runner plane" : failures.join("; ");
  throw new OverlayError(isRefused ? "unauthorized" : "unreachable", text);
}

/** Over whatever `dial` gives, once the other end has proven to be the control plane. */
export async function openOver(
  dial: (signal: AbortSignal) => Promise<Duplex>,
  { identity, signal }: ConnectionOptions,
): Promise<Connection> {
  const { keyPem, chainPem, rootPem, trustDomain } = identity;
  const socket = await openSecureSocket(dial, { keyPem, chainPem, rootPem, trustDomain, signal });

  const session = http2.connect(baseUrl, { settings: http2Options.settings, createConnection: () => socket });
  let lastWords: string | undefined;
  session.on("error", () => {});
  session.on("goaway", (_code: number, _lastStreamId: number, words?: Buffer) => {
    lastWords = words?.toString().slice(0, maximumLastWords);
  });
  session.once("connect", () => session.setLocalWindowSize(connectionWindow_bytes));
  const stopPinging = keepPinging(session);
  session.once("close", stopPinging);

  const transport = createGrpcTransport({
    baseUrl,
    sessionManager: {
      authority: baseUrl,
      async request(method, path, headers, requestOptions) {
        if (session.closed || session.destroyed) {
          throw new ConnectError(lastWords ?? "the connection to the control plane is gone", Code.Unavailable);
        }
        return session.request({ ...headers, ":method": method, ":path": path }, requestOptions);
      },
      notifyResponseByteRead() {},
    },
    acceptCompression: [],
    readMaxBytes: maximumMessageBytes,
  });
  return {
    transport,
    get lastWords() {
      return lastWords;
    },
    close() {
      stopPinging();
      session.destroy();
      socket.destroy();
    },
  };
}

/** Asks a connection whether it is there, again and again; one that does not answer in time is cut. */
function keepPinging(session: http2.ClientHttp2Session): () => void {
  let deadline: NodeJS.Timeout | undefined;
  const timer = setInterval(() => {
    if (session.destroyed || deadline !== undefined) return;
    deadline = setTimeout(
      () => session.destroy(new Error(`no answer to a ping for ${pingTimeoutMs} ms`)),
      pingTimeoutMs,
    );
    session.ping(() => {
      clearTimeout(deadline);
      deadline = undefined;
    });
  }, pingIntervalMs);
  return () => {
    clearInterval(timer);
    clearTimeout(deadline);
  };
}
