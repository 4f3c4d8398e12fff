import { messageOf, OverlayError, type OverlayReason } from "./errors.ts";

/** How long something may take, and how its failure is told. */
export interface Limits {
  /** The beginning of a sentence, such as "dialing service x". */
  readonly what: string;
  readonly timeout_ms: number;
  /** Any of them gives up. */
  readonly given: readonly AbortSignal[];
  /** What a failure is that says nothing of itself. */
  readonly otherwise: OverlayReason;
}

/** Runs `act` for as long as it may take, and makes an `OverlayError` of whatever it fails with. */
export async function limited<T>(
  { what, timeout_ms, given, otherwise }: Limits,
  act: (until: AbortSignal) => Promise<T>,
): Promise<T> {
  const timeout = AbortSignal.timeout(timeout_ms);
  try {
    return await act(AbortSignal.any([timeout, ...given]));
  } catch (error) {
    if (given.some(({ aborted }) => aborted)) throw new OverlayError("cancelled", `${what} was given up`);
    if (error instanceof OverlayError) throw error;
    if (timeout.aborted) throw new OverlayError("timeout", `${what} took longer than ${timeout_ms} ms`);
    throw new OverlayError(otherwise, `${what} failed: ${messageOf(error)}`, { cause: error });
  }
}
