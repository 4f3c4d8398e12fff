import { AsyncLocalStorage } from "node:async_hooks";
import { constants, X509Certificate } from "node:crypto";
import http2 from "node:http2";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import { OverlayError } from "./errors.ts";
import { createHandshakes, type Handshake } from "./handshakes.ts";
import type { Caller } from "./overlay.ts";
import { defaultSecureLimits, http2Options, type SecureLimits } from "./secure-limits.ts";
import { createSecureSessions, endSession, type SecureSession } from "./secure-sessions.ts";

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

/** Opens a server that listens nowhere. Throws where a certificate or key cannot be read. */
export function openSecureServer(options: SecureServerOptions): SecureServer {
  const limits = { ...defaultSecureLimits, ...options.limits };
  const judgement = judgementOf(options);
  const handshakes = createHandshakes(limits, (error, from) => options.onRefused?.(error, from));
  const sessions = createSecureSessions(limits, options.now ?? (() => new Date()));
  /** All that are not closed, whatever has become of them. */
  const connections = new Map<Duplex, Promise<void>>();
  // TLS does not say which connection it finished its handshake on; what runs in its events runs in this context.
  const accepted = new AsyncLocalStorage<Handshake>();
  let closing = false;

  const server = http2.createSecureServer({ ...http2Options, ...tlsOptions(options), ...tlsPolicy });
  server.on("request", (request, response) => {
    const known = request.stream.session !== undefined && sessions.open.has(request.stream.session);
    if (known) options.onRequest(request, response);
    else request.stream.destroy();
  });
  server.on("session", (session) => {
    session.on("error", () => {});
    const handshake = accepted.getStore();
    if (handshake === undefined) return session.destroy();
    handshakes.settle(handshake);
    // The proxy that HTTP/2 gives for its socket hides only what would disturb the session.
    const peer = closing ? closingError() : judgement(session.socket as TLSSocket);
    if (peer instanceof OverlayError) {
      endSession(session, handshake.connection, peer.message);
      return handshakes.refuse(handshake, peer);
    }
    const secured = sessions.admit(session, peer, handshake);
    options.onSession?.(secured);
  });
  server.on("unknownProtocol", (socket) => socket.destroy());
  server.on("tlsClientError", (error, socket) => {
    socket.destroy();
    const handshake = accepted.getStore();
    const message = `the TLS handshake failed: ${error.message}`;
    if (handshake !== undefined) handshakes.refuse(handshake, new OverlayError("broken", message, { cause: error }));
  });

  return {
    accept(connection, from) {
      if (closing) return void connection.destroy();
      connection.on("error", () => {});
      if (handshakes.count >= limits.handshakes) handshakes.endStalled();
      const full = fullness(limits, handshakes.count, sessions.open.size);
      if (full !== undefined) {
        connection.destroy();
        return options.onRefused?.(new OverlayError("exhausted", full), from);
      }
      const handshake = handshakes.begin(connection, from);
      const gone = Promise.withResolvers<void>();
      connections.set(connection, gone.promise);
      connection.once("close", () => {
        connections.delete(connection);
        handshakes.closed(handshake);
        gone.resolve();
      });
      connection.allowHalfOpen = false;
      accepted.run(handshake, () => server.emit("connection", connection));
    },

    sessionOf(request) {
      const session = request.stream.session === undefined ? undefined : sessions.open.get(request.stream.session);
      if (session === undefined) throw new OverlayError("broken", "the connection of this request is gone");
      return session;
    },

    sessions: () => sessions.open.values(),
    replaceCertificate: (certificate) =>
      server.setSecureContext({ ...tlsOptions({ ...options, ...certificate }), ...tlsPolicy }),

    async close({ grace_ms }) {
      closing = true;
      handshakes.endAll();
      for (const session of sessions.open.keys()) session.close();
      const force = setTimeout(() => {
        for (const session of sessions.open.keys()) session.destroy();
        // A session that ends in order waits for the other end, which may be gone without a word.
        for (const connection of connections.keys()) connection.destroy();
      }, grace_ms);
      await Promise.all(connections.values());
      clearTimeout(force);
    },
  };
}

const closingError = (): OverlayError => new OverlayError("peer_refused", "this server is closing");

/** Who a socket's other end is once TLS is done with it: its certificate, or why it is not let in. */
function judgementOf({
  clientIssuersPem,
  refuse,
}: SecureServerOptions): (socket: TLSSocket) => X509Certificate | OverlayError {
  const issuers = clientIssuersPem.map((pem) => new X509Certificate(pem));
  return (socket) => {
    const peer = socket.getPeerX509Certificate();
    if (peer === undefined) return new OverlayError("peer_untrusted", "the client showed no certificate");
    return distrustOf(peer, socket, issuers) ?? refusalOf(peer, refuse) ?? peer;
  };
}

function distrustOf(
  peer: X509Certificate,
  socket: TLSSocket,
  issuers: readonly X509Certificate[],
): OverlayError | undefined {
  if (!socket.authorized) {
    // Typed as an error, it is the name of OpenSSL's verdict.
    const message = `the client's certificate is not accepted: ${String(socket.authorizationError)}`;
    return new OverlayError("peer_untrusted", message);
  }
  if (issuers.some((issuer) => peer.checkIssued(issuer) && peer.verify(issuer.publicKey))) return undefined;
  return new OverlayError("peer_untrusted", "the client's certificate is not of an accepted issuer");
}

function refusalOf(peer: X509Certificate, refuse: SecureServerOptions["refuse"]): OverlayError | undefined {
  try {
    const why = refuse?.(peer);
    return why === undefined ? undefined : new OverlayError("peer_refused", why);
  } catch (cause) {
    return new OverlayError("peer_refused", "whether the certificate is revoked cannot be told now", { cause });
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
