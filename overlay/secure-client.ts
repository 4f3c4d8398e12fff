import { X509Certificate } from "node:crypto";
import type { Duplex } from "node:stream";
import tls from "node:tls";
import { controlPlaneUri, onlyUriName } from "../wire/spiffe.ts";
import { isCertificateFault, messageOf, OverlayError } from "./errors.ts";
import { lateDuplex } from "./late-duplex.ts";

/** What the dialing side shows, and whom it accepts. */
export interface SecureClientOptions {
  /** PKCS #8 PEM. */
  readonly keyPem: string;
  /** The leaf and its intermediate. */
  readonly chainPem: string;
  /** The root certificate, checked against the pin beforehand. */
  readonly rootPem: string;
  readonly trustDomain: string;
  readonly handshakeTimeout_ms?: number;
}

/** Covers, with `secureConnector`, the dialing too. */
const defaultHandshakeTimeout_ms = 20_000;

/**
 * Starts mutual TLS 1.3 as a client over any Duplex. The socket is returned at once and may be handed to
 * `http2.connect(url, { createConnection: () => socket })`; it is destroyed with an `OverlayError` unless the other end
 * shows a certificate under the root whose only name is the control plane's. A host name plays no part.
 */
export function secureClientSocket(connection: Duplex, options: SecureClientOptions): tls.TLSSocket {
  const timeout_ms = options.handshakeTimeout_ms ?? defaultHandshakeTimeout_ms;
  connection.allowHalfOpen = false;
  const socket = tls.connect({
    socket: connection,
    key: options.keyPem,
    cert: options.chainPem,
    ca: options.rootPem,
    minVersion: "TLSv1.3",
    ALPNProtocols: ["h2"],
    rejectUnauthorized: true,
    checkServerIdentity: (_host, { raw }) => refusalOf(raw, options.trustDomain),
  });

  const late = () => socket.destroy(new OverlayError("timeout", `the TLS handshake took longer than ${timeout_ms} ms`));
  const timer = setTimeout(late, timeout_ms);
  socket.once("secureConnect", () => clearTimeout(timer));
  socket.once("close", () => clearTimeout(timer));
  return socket;
}

/**
 * For whoever wants a connection at once and again and again, as `createConnection` of `http2.connect` and of Connect's
 * transports does: each call dials anew.
 */
export function secureConnector(
  dial: (signal: AbortSignal) => Promise<Duplex>,
  options: SecureClientOptions,
): () => tls.TLSSocket {
  return () => secureClientSocket(lateDuplex(dial), options);
}

/** Dials, and waits until the other end is verified. Rejects with an `OverlayError`. */
export async function openSecureSocket(
  dial: (signal: AbortSignal) => Promise<Duplex>,
  options: SecureClientOptions & { readonly signal: AbortSignal },
): Promise<tls.TLSSocket> {
  const { signal } = options;
  const socket = secureClientSocket(await dial(signal), options);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const closed = () => reject(new OverlayError("broken", "the connection closed during the TLS handshake"));
  const onAbort = () => reject(new OverlayError("cancelled", "the TLS handshake was given up"));
  socket.once("secureConnect", resolve).once("error", reject).once("close", closed);
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  try {
    await promise;
    return socket;
  } catch (error) {
    socket.on("error", () => {});
    socket.destroy();
    throw asOverlayError(error);
  } finally {
    signal.removeEventListener("abort", onAbort);
    socket.off("secureConnect", resolve).off("error", reject).off("close", closed);
  }
}

function refusalOf(raw: Uint8Array, trustDomain: string): Error | undefined {
  const wanted = controlPlaneUri(trustDomain);
  const shown = onlyUriName(new X509Certificate(raw).subjectAltName);
  if (shown === wanted) return undefined;
  return new OverlayError("peer_refused", `the other end is ${shown ?? "nameless"}, not ${wanted}`);
}

/** What a TLS socket failed with, as an `OverlayError`. */
function asOverlayError(error: unknown): OverlayError {
  if (error instanceof OverlayError) return error;
  const reason = isCertificateFault(error) ? "peer_untrusted" : "broken";
  return new OverlayError(reason, `cannot secure the connection: ${messageOf(error)}`, { cause: error });
}
