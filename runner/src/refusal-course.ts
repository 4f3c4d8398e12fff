import type { Refusal } from "./refusal.ts";

/** What the runner does after the control plane refused it. */
export type Course =
  /** Try again, with back-off. */
  | { kind: "again" }
  /** Another process of this runner is connected: wait until it is gone. */
  | { kind: "wait" }
  /** The identity is of no use any more: enroll with a new key. */
  | { kind: "enroll_anew" }
  /** The certificate has expired: prove its key. */
  | { kind: "renew_expired" }
  | { kind: "give_up"; message: string };

/**
 * What was refused. `hello`: the identity, at the start of a session or of an enrollment. `session`: one that stood, whose
 * place another session of the same identity may have taken.
 */
export type Refused = "hello" | "session";

/** Decides by the reason; a refusal without one is a fault on the way. */
export function courseAfter({ reason, message }: Pick<Refusal, "reason" | "message">, refused: Refused): Course {
  switch (reason) {
    case "RUNNER_HAS_LIVE_SESSION":
      return { kind: "wait" };
    case "IDENTITY_SUPERSEDED":
      return refused === "hello" ? { kind: "enroll_anew" } : { kind: "again" };
    case "IDENTITY_REVOKED":
      if (refused === "hello") return { kind: "enroll_anew" };
      return giveUp(
        "the identity of this runner was revoked, or the runner deleted; if it is still there, start it again to enroll anew with its service token",
      );
    case "IDENTITY_EXPIRED":
      return { kind: "renew_expired" };
    case "RUNNER_LOCKED":
      return giveUp(
        "this runner is locked because its identity is suspected stolen; unlock it (agynctl runners unlock), then start it again",
      );
    case "SERVICE_TOKEN_INVALID":
      return giveUp(`the control plane does not know this service token: ${message}`);
    case "SERVICE_TOKEN_REFUSED":
      return giveUp(`the control plane refuses this service token: ${message}`);
    case "NOT_FOUND":
      return giveUp(`the control plane does not know this runner; it may have been deleted: ${message}`);
    case "CSR_INVALID":
    case "INVALID_ARGUMENT":
    case "PERMISSION_DENIED":
    case "STATE":
    case "WRONG_PLANE":
      return giveUp(`the control plane refuses this runner: ${message}`);
    default:
      return { kind: "again" };
  }
}

function giveUp(message: string): Course {
  return { kind: "give_up", message };
}
