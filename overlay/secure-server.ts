import { AsyncLocalStorage } from "node:async_hooks";
import { constants, X509Certificate } from "node:crypto";
import http2 from "node:http2";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import { OverlayError } from "./errors.ts";
import type { Caller } from "./overlay.ts";
import { pong } from "./pong.ts";
import { connectionWindow_bytes, defaultSecureLimits, http2Options, type SecureLimits } from "./secure-limits.ts";

/** A certificate to show, and its key. */
export interface ServerCertificate {
  /** PKCS #8 PEM. */
  readonly keyPem: string;
  /** The leaf and its intermediate. */
  readonly chainPem: string;
}

/** What the accepting side shows, whom it accepts, and who answers requests. */
export interface SecureServerOptions extends ServerCertificate {
  readonly rootPem: string;
  /** The intermediates, under the root, of which a client's certificate must be directly issued by one. */
  readonly clientIssuersPem: readonly string[];
  readonly onRequest: (request: http2.Http2ServerRequest, response: http2.Http2ServerResponse) => void;
  /** Says why a verified peer is refused all the same (revoked), or `undefined`; asked at each accepted connection. */
  readonly refuse?: (peer: X509Certificate) => string | undefined;
  readonly onSession?: (session: SecureSession) => void;
  readonly onRefused?: (error: OverlayError, from: Caller) => void;
  readonly limits?: Partial<SecureLimits>;
  readonly now?: () => Date;
}

/** A verified connection. */
export interface SecureSession {
  readonly peer: X509Certificate;
  readonly from: Caller;
  /** Settles when the connection is gone. */
  readonly closed: Promise<void>;
  /** Whether the other end is there now: answers what is sent to it, in time. */
  answers(timeout_ms: number): Promise<boolean>;
  /** Ends the connection and all its streams at once; `why` travels in the last frame. */
  end(why: string): void;
}

/** Mutual TLS 1.3 and HTTP/2 over whatever connections are handed in. */
export interface SecureServer {
  /** Takes over a connection of an overlay. */
  accept(connection: Duplex, from: Caller): void;
  /** The connection that a request came over. */
  sessionOf(request: http2.Http2ServerRequest): SecureSession;
  sessions(): Iterable<SecureSession>;
  /** Shows another certificate from the next connection on. */
  replaceCertificate(certificate: ServerCertificate): void;
  /** Asks all to leave, and after the grace ends what is left. */
  close(options: { readonly grace_ms: number }): Promise<void>;
}

/** A connection whose other end is not verified yet. */
interface Handshake {
  readonly connection: Duplex;
  readonly from: Caller;
  readonly deadline: NodeJS.Timeout;
  /** On the clock of `performance.now()`. */
  readonly start_ms: number;
  reported?: boolean;
}

const noCertificate = new OverlayError("peer_untrusted", "the client showed no certificate");

/** How long the last frame of an ended session may take to leave. */
const lastWordsTimeout_ms = 500;

/** Longest delay that a timer takes. */
const maxTimer_ms = 2 ** 31 - 1;

/** Opens a server that listens nowhere. Throws where a certificate or key cannot be read. */
export function openSecureServer(options: SecureServerOptions): SecureServer {
  const limits = { ...defaultSecureLimits, ...options.limits };
  const now = options.now ?? (() => new Date());
  const issuers = options.clientIssuersPem.map((pem) => new X509Certificate(pem));
  /** All that are not closed, whatever has become of them. */
  const connections = new Map<Duplex, Promise<void>>();
  const pending = new Set<Handshake>();
  const open = new Map<http2.Http2Session, SecureSession>();
  // TLS does not say which connection it finished its handshake on; what runs in its events runs in this context.
  const accepted = new AsyncLocalStorage<Handshake>();
  let closing = false;

  const server = http2.createSecureServer({ ...http2Options, ...tlsOptions(options), ...tlsPolicy });
  server.on("request", (request, response) => {
    const known = request.stream.session !== undefined && open.has(request.stream.session);
    if (known) options.onRequest(request, response);
    else request.stream.destroy();
  });
  server.on("session", (session) => onSecured(session));
  server.on("unknownProtocol", (socket) => socket.destroy());
  server.on("tlsClientError", (error, socket) => {
    socket.destroy();
    const handshake = accepted.getStore();
    const message = `the TLS handshake failed: ${error.message}`;
    if (handshake !== undefined) report(handshake, new OverlayError("broken", message, { cause: error }));
  });

  return {
    accept(connection, from) {
      if (closing) return void connection.destroy();
      connection.on("error", () => {});
      if (pending.size >= limits.handshakes) endStalled();
      const full = fullness(limits, pending.size, open.size);
      if (full !== undefined) {
        connection.destroy();
        return options.onRefused?.(new OverlayError("exhausted", full), from);
      }

      const handshake: Handshake = {
        connection,
        from,
        start_ms: performance.now(),
        deadline: setTimeout(() => onDeadline(handshake), limits.handshakeTimeout_ms),
      };
      pending.add(handshake);
      const gone = Promise.withResolvers<void>();
      connections.set(connection, gone.promise);
      connection.once("close", () => {
        connections.delete(connection);
        onClose(handshake);
        gone.resolve();
      });
      connection.allowHalfOpen = false;
      accepted.run(handshake, () => server.emit("connection", connection));
    },

    sessionOf(request) {
      const session = request.stream.session === undefined ? undefined : open.get(request.stream.session);
      if (session === undefined) throw new OverlayError("broken", "the connection of this request is gone");
      return session;
    },

    sessions: () => open.values(),
    replaceCertificate: (certificate) =>
      server.setSecureContext({ ...tlsOptions({ ...options, ...certificate }), ...tlsPolicy }),

    async close({ grace_ms }) {
      closing = true;
      for (const { connection } of pending) connection.destroy();
      for (const session of open.keys()) session.close();
      const force = setTimeout(() => {
        for (const session of open.keys()) session.destroy();
        // A session that ends in order waits for the other end, which may be gone without a word.
        for (const connection of connections.keys()) connection.destroy();
      }, grace_ms);
      await Promise.all(connections.values());
      clearTimeout(force);
    },
  };

  /** The oldest handshake gives way to a new one, so that nobody keeps others out by connections that say nothing (I13). */
  function endStalled(): void {
    const [oldest] = pending;
    if (oldest === undefined || performance.now() - oldest.start_ms < limits.handshakePatience_ms) return;
    report(oldest, new OverlayError("exhausted", "a handshake that took too long gave way to others"));
    oldest.connection.destroy();
  }

  function onDeadline(handshake: Handshake): void {
    report(handshake, new OverlayError("timeout", `no TLS handshake within ${limits.handshakeTimeout_ms} ms`));
    handshake.connection.destroy();
  }

  function onClose(handshake: Handshake): void {
    const unfinished = pending.has(handshake) && !closing;
    settle(handshake);
    if (unfinished) report(handshake, new OverlayError("broken", "the connection closed during the TLS handshake"));
  }

  function onSecured(session: http2.ServerHttp2Session): void {
    session.on("error", () => {});
    // The proxy that HTTP/2 gives for its socket hides only what would disturb the session.
    const socket = session.socket as TLSSocket;
    const handshake = accepted.getStore();
    if (handshake === undefined) return session.destroy();

    settle(handshake);
    const peer = socket.getPeerX509Certificate();
    const refusal = peer === undefined ? noCertificate : (distrustOf(peer, socket) ?? refusalOf(peer));
    if (peer === undefined || refusal !== undefined) {
      endSession(session, handshake.connection, (refusal ?? noCertificate).message);
      return report(handshake, refusal ?? noCertificate);
    }
    session.setLocalWindowSize(connectionWindow_bytes);
    session.setTimeout(limits.idleTimeout_ms, () => secured.end(`nothing moved for ${limits.idleTimeout_ms} ms`));
    const secured = track(session, peer, handshake);
    endAtExpiry(secured);
    options.onSession?.(secured);
  }

  function distrustOf(peer: X509Certificate, socket: TLSSocket): OverlayError | undefined {
    if (!socket.authorized) {
      // Typed as an error, it is the name of OpenSSL's verdict.
      const message = `the client's certificate is not accepted: ${String(socket.authorizationError)}`;
      return new OverlayError("peer_untrusted", message);
    }
    if (issuers.some((issuer) => peer.checkIssued(issuer) && peer.verify(issuer.publicKey))) return undefined;
    return new OverlayError("peer_untrusted", "the client's certificate is not of an accepted issuer");
  }

  function refusalOf(peer: X509Certificate): OverlayError | undefined {
    if (closing) return new OverlayError("peer_refused", "this server is closing");
    try {
      const why = options.refuse?.(peer);
      return why === undefined ? undefined : new OverlayError("peer_refused", why);
    } catch (cause) {
      return new OverlayError("peer_refused", "whether the certificate is revoked cannot be told now", { cause });
    }
  }

  function track(
    session: http2.ServerHttp2Session,
    peer: X509Certificate,
    { connection, from }: Handshake,
  ): SecureSession {
    const closed = Promise.withResolvers<void>();
    const end = (why: string) => {
      // From now on no request is let through.
      open.delete(session);
      endSession(session, connection, why);
    };
    const answers = (timeout_ms: number) => pong(session, timeout_ms);
    const secured = { peer, from, closed: closed.promise, answers, end };
    open.set(session, secured);
    session.once("close", () => {
      open.delete(session);
      closed.resolve();
    });
    return secured;
  }

  function endAtExpiry(session: SecureSession): void {
    const left_ms = session.peer.validToDate.getTime() - now().getTime();
    if (left_ms <= 0) return session.end("the certificate expired");
    const timer = setTimeout(() => endAtExpiry(session), Math.min(left_ms, maxTimer_ms));
    timer.unref();
    void session.closed.then(() => clearTimeout(timer));
  }

  /** Says once why a connection is not let in. */
  function report(handshake: Handshake, error: OverlayError): void {
    settle(handshake);
    if (handshake.reported === true) return;
    handshake.reported = true;
    options.onRefused?.(error, handshake.from);
  }

  function settle(handshake: Handshake): void {
    clearTimeout(handshake.deadline);
    pending.delete(handshake);
  }
}

/**
 * Only TLS 1.3 and HTTP/2, always with a client certificate. TLS itself lets every certificate in, so that the refusal,
 * before the first request is read, can say why.
 */
const tlsPolicy = {
  minVersion: "TLSv1.3",
  requestCert: true,
  rejectUnauthorized: false,
  allowHTTP1: false,
  ALPNProtocols: ["h2"],
  // Nothing to resume with: each connection proves itself anew, and is asked for anew.
  secureOptions: constants.SSL_OP_NO_TICKET,
} as const;

function tlsOptions({ keyPem, chainPem, rootPem }: ServerCertificate & { readonly rootPem: string }) {
  return { key: keyPem, cert: chainPem, ca: rootPem };
}

function fullness(limits: SecureLimits, handshakes: number, connections: number): string | undefined {
  if (handshakes >= limits.handshakes) return `${limits.handshakes} handshakes are under way already`;
  if (handshakes + connections >= limits.connections) return `${limits.connections} connections are open already`;
  return undefined;
}

/** Ends a session and its streams, its last words being sent as long as the other end takes them. */
function endSession(session: http2.Http2Session, connection: Duplex, why: string): void {
  if (session.destroyed) return;
  session.goaway(http2.constants.NGHTTP2_INADEQUATE_SECURITY, 0, Buffer.from(why));
  // The frame leaves at the end of this turn; closing first makes the end of the socket an orderly one.
  setImmediate(() => {
    session.close();
    session.destroy();
  });
  const force = setTimeout(() => connection.destroy(), lastWordsTimeout_ms);
  connection.once("close", () => clearTimeout(force));
}
