/** Why a path to the control plane could not be had, or ended. The set is closed. */
export type OverlayReason =
  /** Nobody answers there: refused, unknown name, no route. */
  | "unreachable"
  /** The time for dialing or for the handshake ran out. */
  | "timeout"
  /** The caller gave up, or the overlay was closed. */
  | "cancelled"
  /** An HTTP proxy on the way refused, or did not speak HTTP. */
  | "proxy_refused"
  /** The address to listen on is taken or not ours. */
  | "address_unavailable"
  /** The other end's certificate is not of the trusted authority, or not valid now. */
  | "peer_untrusted"
  /** The other end's certificate is good, but not that of whom we want, or it was refused by the caller. */
  | "peer_refused"
  /** The network that carries the connection does not know us, or does not let us in there. */
  | "unauthorized"
  /** A bound was reached: connections, handshakes, what a reader has not taken. */
  | "exhausted"
  /** The library that an adapter needs is not on this machine, or is not fit for it. */
  | "not_installed"
  /** The connection broke or did not speak TLS 1.3. */
  | "broken";

/** An error of the overlay. Its message names the thing and the rule; its cause is what the system said. */
export class OverlayError extends Error {
  override readonly name = "OverlayError";
  readonly reason: OverlayReason;

  constructor(reason: OverlayReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}

/** The certificate faults that OpenSSL names, as Node gives them: `CERT_HAS_EXPIRED`, `SELF_SIGNED_CERT_IN_CHAIN`, … */
const certificateFault = /CERT|ISSUER|SIGNATURE|CHAIN|CA$|PURPOSE|PATH_LENGTH|SUBTREE/;

/** Whether a TLS socket failed because of the certificate that the other end showed. */
export function isCertificateFault(error: unknown): boolean {
  return certificateFault.test(codeOf(error));
}

/** The code that the system gave an error, or "" where there is none. */
export function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
}

/** The text of whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
