/**
 * How a command ends. A job's own exit code takes the place of these with `workloads start --follow`; a job that was
 * ended by a signal gives 128 + its number, one that timed out 124.
 */
export const exitCodes = {
  ok: 0,
  failure: 1,
  usage: 2,
  notFound: 3,
  denied: 4,
  unavailable: 5,
  noRunner: 6,
  timedOut: 124,
  interrupted: 130,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** A failure that is already worded for the person at the terminal. */
export class Failure extends Error {
  readonly exitCode: ExitCode;
  /** What to do next, on a line of its own. */
  readonly hint: string | undefined;

  constructor(message: string, exitCode: ExitCode = exitCodes.failure, hint?: string) {
    super(message);
    this.name = "Failure";
    this.exitCode = exitCode;
    this.hint = hint;
  }
}

/** The command line itself is wrong. */
export class UsageError extends Failure {
  constructor(message: string, hint?: string) {
    super(message, exitCodes.usage, hint);
    this.name = "UsageError";
  }
}
