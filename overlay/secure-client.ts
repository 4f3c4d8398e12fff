import { X509Certificate } from "node:crypto";
import type { Duplex } from "node:stream";
import tls from "node:tls";
import { verifyControlPlaneChain } from "../wire/control-plane-chain.ts";
import { controlPlaneUri, onlyUriName } from "../wire/spiffe.ts";
import { isCertificateFault, messageOf, OverlayError } from "./errors.ts";
import { lateDuplex } from "./late-duplex.ts";
import { untilOpen } from "./until-open.ts";

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

/** Certificates of one chain that are looked at: one more than there should be. */
const maxChain = 4;

/**
 * Starts mutual TLS 1.3 as a client over any Duplex. The socket is returned at once and may be handed to
 * `http2.connect(url, { createConnection: () => socket })`; it is destroyed with an `OverlayError` unless the other end
 * shows a certificate under the root whose only name is the control plane's. A host name plays no part.
 */
export function secureClientSocket(connection: Duplex, options: SecureClientOptions): tls.TLSSocket {
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
  return inTime(socket, options.handshakeTimeout_ms ?? defaultHandshakeTimeout_ms);
}

function inTime(socket: tls.TLSSocket, timeout_ms: number): tls.TLSSocket {
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
  return untilSecured(secureClientSocket(await dial(signal), options), signal);
}

/** Whom somebody without an identity of its own accepts. */
export interface PinnedClientOptions {
  /** The SHA-256 of the public key of the root under which the other end's certificate must be. */
  readonly rootPin: Uint8Array;
  readonly signal: AbortSignal;
}

/**
 * Dials, and starts TLS 1.3 in which only the other end shows a certificate: that of a control plane, under the pinned root. The
 * socket carries HTTP/1.1. Rejects with an `OverlayError`, before a byte of ours was sent to anybody else.
 */
export async function openPinnedSocket(
  dial: (signal: AbortSignal) => Promise<Duplex>,
  { rootPin, signal }: PinnedClientOptions,
): Promise<tls.TLSSocket> {
  const connection = await dial(signal);
  connection.allowHalfOpen = false;
  // The root is known by its pin alone, so that its chain is checked below, once it was shown.
  const unverified = { minVersion: "TLSv1.3", ALPNProtocols: ["http/1.1"], rejectUnauthorized: false } as const;
  const socket = tls.connect({ socket: connection, ...unverified });
  await untilSecured(inTime(socket, defaultHandshakeTimeout_ms), signal);
  const verified = verifyControlPlaneChain({ chainPem: shownChain(socket), rootPin, now: new Date() });
  if (!("error" in verified)) return socket;
  socket.destroy();
  throw new OverlayError("peer_untrusted", verified.error);
}

/** What the other end showed, from its leaf on, in PEM. */
function shownChain(socket: tls.TLSSocket): string {
  const chain: string[] = [];
  let shown: tls.DetailedPeerCertificate | undefined = socket.getPeerCertificate(true);
  while (shown !== undefined && chain.length < maxChain) {
    chain.push(new X509Certificate(shown.raw).toString());
    // A root names itself as its issuer.
    const next: tls.DetailedPeerCertificate | undefined = shown.issuerCertificate;
    shown = next === shown ? undefined : next;
  }
  return chain.join("");
}

async function untilSecured(socket: tls.TLSSocket, signal: AbortSignal): Promise<tls.TLSSocket> {
  try {
    return await untilOpen(socket, "secureConnect", signal);
  } catch (error) {
    if (signal.aborted) throw new OverlayError("cancelled", "the TLS handshake was given up");
    throw asOverlayError(error);
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
