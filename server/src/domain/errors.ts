/** Every reason for which a call can fail: the names of `agyn.errors.v1.Reason` without their prefix. */
export type Reason =
  | "INVALID_ARGUMENT"
  | "UNAUTHENTICATED"
  | "PERMISSION_DENIED"
  | "TOKEN_SCOPE"
  | "NOT_FOUND"
  | "NAME_TAKEN"
  | "AMBIGUOUS_REFERENCE"
  | "NO_RUNNER"
  | "RUNNER_BUSY"
  | "RUNNER_HAS_LIVE_SESSION"
  | "IDENTITY_SUPERSEDED"
  | "IDENTITY_REVOKED"
  | "IDENTITY_EXPIRED"
  | "RUNNER_LOCKED"
  | "SERVICE_TOKEN_INVALID"
  | "SERVICE_TOKEN_REFUSED"
  | "NONCE_INVALID"
  | "CSR_INVALID"
  | "STALE_FENCE"
  | "STATE"
  | "CURSOR_EXPIRED"
  | "IDEMPOTENCY_KEY_REUSED"
  | "LIMIT"
  | "UNAVAILABLE"
  | "PROTOCOL"
  | "WRONG_PLANE"
  | "INTERNAL"
  | "CANCELLED"
  | "SOURCE";

/** One broken rule of one field. */
export type FieldViolation = { field: string; description: string };

export type ErrorDetails = {
  metadata?: Record<string, string>;
  violations?: FieldViolation[];
  /** When trying again makes sense. */
  retryAfter_ms?: number;
};

/** The one error that leaves the server as it is; everything else leaves as `INTERNAL` with an id. */
export class AgynError extends Error {
  readonly reason: Reason;
  readonly details: ErrorDetails;

  constructor(reason: Reason, message: string, details: ErrorDetails = {}) {
    super(message);
    this.name = "AgynError";
    this.reason = reason;
    this.details = details;
  }
}

/** `NOT_FOUND` for a thing that is not there, or that the caller must not know of. */
export function notFound(noun: string, reference: string): AgynError {
  return new AgynError("NOT_FOUND", `there is no ${noun} "${reference}"`);
}

/** `INVALID_ARGUMENT` for one field. */
export function invalidField(field: string, description: string): AgynError {
  return new AgynError("INVALID_ARGUMENT", `${field}: ${description}`, { violations: [{ field, description }] });
}
