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
  /** Go no further; `discard`: the identity on disk is of no use for a later start either. */
  | { kind: "give_up"; message: string; discard: boolean };

/** Decides by the reason alone; a refusal without one is a fault on the way. */
export function courseAfter({ reason, message }: Pick<Refusal, "reason" | "message">): Course {
  switch (reason) {
    case "RUNNER_HAS_LIVE_SESSION":
      return { kind: "wait" };
    case "IDENTITY_SUPERSEDED":
      return { kind: "enroll_anew" };
    case "IDENTITY_EXPIRED":
      return { kind: "renew_expired" };
    case "IDENTITY_REVOKED":
      return giveUp(
        "the identity of this runner was revoked; start it again to enroll anew with its service token",
        true,
      );
    case "RUNNER_LOCKED":
      return giveUp(
        "this runner is locked because its identity is suspected stolen; unlock it (agynctl runners unlock), then start it again",
        false,
      );
    case "SERVICE_TOKEN_INVALID":
      return giveUp(`the control plane does not know this service token: ${message}`, false);
    case "SERVICE_TOKEN_REFUSED":
      return giveUp(`the control plane refuses this service token: ${message}`, false);
    case "NOT_FOUND":
      return giveUp(`the control plane does not know this runner; it may have been deleted: ${message}`, false);
    case "CSR_INVALID":
    case "INVALID_ARGUMENT":
    case "PERMISSION_DENIED":
    case "WRONG_PLANE":
      return giveUp(`the control plane refuses this runner: ${message}`, false);
    default:
      return { kind: "again" };
  }
}

function giveUp(message: string, discard: boolean): Course {
  return { kind: "give_up", message, discard };
}
