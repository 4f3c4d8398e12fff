/** How a client is logged in: by a session that the controller keeps, or by tokens that it signed. */
export type SessionKind = "legacy" | "oidc";

/** What was got by showing a certificate. */
export interface ApiSession {
  readonly kind: SessionKind;
  /** What routers are shown. */
  token(): string;
  /** What calls of the client API carry. */
  headers(): Record<string, string>;
  /** From now until it should be refreshed, in ms. */
  refreshAfter_ms(): number;
  /** Keeps it alive: `true` where the token is now another. Rejects as "unauthorized" where it is over. */
  refresh(signal: AbortSignal): Promise<boolean>;
  /** Logs out, where that means something. */
  end(signal: AbortSignal): Promise<void>;
}
