import { AsyncLocalStorage } from "node:async_hooks";
import { X509Certificate } from "node:crypto";
import http2 from "node:http2";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import { OverlayError } from "./errors.ts";
import type { Caller } from "./overlay.ts";
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

/** Longest delay that a timer takes. */
const maxTimer_ms = 2 ** 31 - 1;

/** Opens a server that listens nowhere. Throws where a certificate or key cannot be read. */
export function openSecureServer(options: SecureServerOptions): SecureServer {
  const limits = { ...defaultSecureLimits, ...options.limits };
  const now = options.now ?? (() => new Date());
  const issuers = options.clientIssuersPem.map((pem) => new X509Certificate(pem));
  const pending = new Map<Duplex, { readonly from: Caller; readonly deadline: NodeJS.Timeout }>();
  const open = new Map<http2.Http2Session, SecureSession>();
  // TLS does not say which connection it finished its handshake on; what runs in its events runs in this context.
  const accepted = new AsyncLocalStorage<Duplex>();
  let closing = false;

  const server = http2.createSecureServer({ ...http2Options, ...tlsOptions(options), ...tlsPolicy });
  server.on("request", options.onRequest);
  server.on("session", (session) => onHandshake(session));
  server.on("unknownProtocol", (socket) => {
    settle();
    socket.destroy();
  });
  server.on("tlsClientError", (error, socket) => {
    const from = settle();
    socket.destroy();
    if (from !== undefined) options.onRefused?.(handshakeError(error, socket), from);
  });

  return {
    accept(connection, from) {
      if (closing) return void connection.destroy();
      connection.on("error", () => {});
      const full = fullness(limits, pending.size, open.size);
      if (full !== undefined) return refuse(connection, new OverlayError("exhausted", full), from);

      const deadline = setTimeout(() => {
        const message = `no TLS handshake within ${limits.handshakeTimeout_ms} ms`;
        pending.delete(connection);
        refuse(connection, new OverlayError("timeout", message), from);
      }, limits.handshakeTimeout_ms);
      pending.set(connection, { from, deadline });
      connection.once("close", () => forget(connection));
      connection.allowHalfOpen = false;
      accepted.run(connection, () => server.emit("connection", connection));
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
      for (const connection of pending.keys()) connection.destroy();
      const left = [...open].map(([session, { closed }]) => {
        session.close();
        return closed;
      });
      const force = setTimeout(() => {
        for (const session of open.keys()) session.destroy();
      }, grace_ms);
      await Promise.all(left);
      clearTimeout(force);
    },
  };

  function onHandshake(session: http2.ServerHttp2Session): void {
    session.on("error", () => {});
    // The proxy that HTTP/2 gives for its socket hides only what would disturb the session.
    const socket = session.socket as TLSSocket;
    const from = settle();
    const peer = socket.getPeerX509Certificate();
    if (from === undefined || peer === undefined) return session.destroy();

    const refusal = refusalOf(peer, socket);
    if (refusal !== undefined) {
      endSession(session, refusal);
      return options.onRefused?.(new OverlayError("peer_refused", refusal), from);
    }
    session.setLocalWindowSize(connectionWindow_bytes);
    session.setTimeout(limits.idleTimeout_ms, () =>
      endSession(session, `nothing moved for ${limits.idleTimeout_ms} ms`),
    );
    const secured = track(session, peer, from);
    endAtExpiry(secured);
    options.onSession?.(secured);
  }

  function refusalOf(peer: X509Certificate, socket: TLSSocket): string | undefined {
    if (closing) return "this server is closing";
    if (socket.isSessionReused()) return "TLS sessions are not resumed here";
    const issued = issuers.some((issuer) => peer.checkIssued(issuer) && peer.verify(issuer.publicKey));
    return issued ? options.refuse?.(peer) : "the certificate is not of an accepted issuer";
  }

  function track(session: http2.ServerHttp2Session, peer: X509Certificate, from: Caller): SecureSession {
    const closed = Promise.withResolvers<void>();
    const secured = { peer, from, closed: closed.promise, end: (why: string) => endSession(session, why) };
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

  function refuse(connection: Duplex, error: OverlayError, from: Caller): void {
    connection.destroy();
    options.onRefused?.(error, from);
  }

  /** Where the connection comes from whose handshake is over now. */
  function settle(): Caller | undefined {
    const connection = accepted.getStore();
    if (connection === undefined) return undefined;
    const from = pending.get(connection)?.from;
    forget(connection);
    return from;
  }

  function forget(connection: Duplex): void {
    clearTimeout(pending.get(connection)?.deadline);
    pending.delete(connection);
  }
}

/** Only TLS 1.3 and HTTP/2, a verified client certificate always, and no tickets, so that revocation is asked each time. */
const tlsPolicy = {
  minVersion: "TLSv1.3",
  requestCert: true,
  rejectUnauthorized: true,
  allowHTTP1: false,
  ALPNProtocols: ["h2"],
  sessionTimeout: 1,
} as const;

function tlsOptions({ keyPem, chainPem, rootPem }: ServerCertificate & { readonly rootPem: string }) {
  return { key: keyPem, cert: chainPem, ca: rootPem };
}

function fullness(limits: SecureLimits, handshakes: number, connections: number): string | undefined {
  if (handshakes >= limits.handshakes) return `${limits.handshakes} handshakes are under way already`;
  if (handshakes + connections >= limits.connections) return `${limits.connections} connections are open already`;
  return undefined;
}

function endSession(session: http2.Http2Session, why: string): void {
  if (session.destroyed) return;
  session.goaway(http2.constants.NGHTTP2_INADEQUATE_SECURITY, 0, Buffer.from(why));
  session.destroy();
}

function handshakeError(error: Error, socket: TLSSocket): OverlayError {
  // Typed as an error, it is the text of OpenSSL's verdict.
  const verdict: unknown = socket.authorizationError;
  if (verdict === null || verdict === undefined) {
    return new OverlayError("broken", `the TLS handshake failed: ${error.message}`, { cause: error });
  }
  return new OverlayError("peer_untrusted", `the client's certificate is not accepted: ${String(verdict)}`, {
    cause: error,
  });
}
