import type { X509Certificate } from "node:crypto";
import http2 from "node:http2";
import type { Duplex } from "node:stream";
import { OverlayError } from "./errors.ts";
import { pong } from "./pong.ts";
import { openSecureSocket, type SecureClientOptions } from "./secure-client.ts";
import { http2Options } from "./secure-limits.ts";

/** How the client finds out that the other end is gone without a word. */
export interface KeepAlive {
  readonly pingInterval_ms: number;
  readonly pingTimeout_ms: number;
}

const defaultKeepAlive: KeepAlive = { pingInterval_ms: 20_000, pingTimeout_ms: 10_000 };

/**
 * One connection to the control plane, and only that one: it is never dialed again behind the caller's back. It fits
 * Connect's transports as `sessionManager`.
 */
export interface ClientSession {
  readonly authority: string;
  readonly peer: X509Certificate | undefined;
  /** Settles, when the connection is gone, with why: the server's last words, or what broke. Never rejects. */
  readonly ended: Promise<string>;
  request(
    method: string,
    path: string,
    headers: http2.OutgoingHttpHeaders,
    options: Omit<http2.ClientSessionRequestOptions, "signal">,
  ): Promise<http2.ClientHttp2Stream>;
  notifyResponseByteRead(stream: http2.ClientHttp2Stream): void;
  /** Ends the connection and all its streams. */
  close(): void;
}

/**
 * Dials, secures, and waits until the server has let this client in. Rejects with an `OverlayError`, whose message is the
 * server's own where it refused.
 */
export async function openClientSession(
  dial: (signal: AbortSignal) => Promise<Duplex>,
  options: SecureClientOptions & { readonly signal: AbortSignal; readonly keepAlive?: KeepAlive },
): Promise<ClientSession> {
  const keepAlive = options.keepAlive ?? defaultKeepAlive;
  const socket = await openSecureSocket(dial, options);
  const peer = socket.getPeerX509Certificate();
  const authority = "https://control-plane";
  const session = http2.connect(authority, { ...http2Options, createConnection: () => socket });
  const ended = endOf(session);
  const giveUp = () => session.destroy(new OverlayError("cancelled", "opening the session was given up"));
  options.signal.addEventListener("abort", giveUp, { once: true });
  const letIn = await Promise.race([pong(session, keepAlive.pingTimeout_ms), ended.then(() => false)]);
  options.signal.removeEventListener("abort", giveUp);
  // A server that refuses may answer the ping all the same, behind its refusal.
  if (!letIn || session.closed || session.destroyed) {
    session.destroy();
    throw new OverlayError("peer_refused", await ended);
  }

  const pinging = setInterval(() => void checkAlive(session, keepAlive), keepAlive.pingInterval_ms);
  void ended.then(() => clearInterval(pinging));
  return {
    authority,
    peer,
    ended,
    async request(method, path, headers, requestOptions) {
      if (session.closed || session.destroyed) throw new OverlayError("broken", await ended);
      return session.request({ ...headers, ":method": method, ":path": path }, requestOptions);
    },
    notifyResponseByteRead() {},
    close: () => session.destroy(),
  };
}

function endOf(session: http2.ClientHttp2Session): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  let why = "the connection was closed";
  let lastWords: string | undefined;
  session.on("goaway", (_code, _lastStream, data?: Uint8Array) => {
    if (data !== undefined && data.length > 0) lastWords = Buffer.from(data).toString();
  });
  session.on("error", (error: Error) => {
    why = `the connection broke: ${error.message}`;
  });
  session.once("close", () => resolve(lastWords ?? why));
  return promise;
}

async function checkAlive(session: http2.ClientHttp2Session, { pingTimeout_ms }: KeepAlive): Promise<void> {
  if (await pong(session, pingTimeout_ms)) return;
  session.destroy(new OverlayError("timeout", `the control plane did not answer a ping within ${pingTimeout_ms} ms`));
}
