/** Why the runner cannot go on; each has its exit code. */
export type FatalReason =
  /** A flag, a file or an environment variable cannot be used. */
  | "usage"
  /** The control plane refuses this runner for good. */
  | "refused"
  /** What answers is not the control plane that the service token names. */
  | "untrusted"
  /** Another process owns the data directory. */
  | "in_use";

/** Part of what the program promises: service managers decide by them whether to start it again. */
export const exitCodes: Record<FatalReason, number> = { usage: 2, refused: 3, untrusted: 4, in_use: 5 };

/** The runner ends with this message, one line for people, and the exit code of its reason. */
export class FatalError extends Error {
  override readonly name = "FatalError";
  readonly reason: FatalReason;

  constructor(reason: FatalReason, message: string) {
    super(message);
    this.reason = reason;
  }
}
