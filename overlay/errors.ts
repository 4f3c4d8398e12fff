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
  /** A bound was reached: connections, handshakes. */
  | "exhausted"
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

/** The text of whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
