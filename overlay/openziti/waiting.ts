import { randomInt } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { OverlayError } from "../errors.ts";

/** Waits for `promise` as long as `signal` allows; what it waits for goes on regardless, for others who wait for it. */
export async function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  // Perhaps nobody else waits, and a rejection that nobody hears of would end the process.
  promise.catch(() => {});
  signal.throwIfAborted();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(signal.reason as Error);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** Longest time that a timer takes; of a longer one it makes none at all. */
const longestTimer_ms = 2 ** 31 - 1;

/** Waits so long, or until `signal` says otherwise, or for 24 days. It does not keep the process alive. */
export async function pause(time_ms: number, signal: AbortSignal): Promise<void> {
  await sleep(Math.min(time_ms, longestTimer_ms), undefined, { signal, ref: false }).catch(() => {});
}

/** Back-off after so many failures in a row: random, so that clients who failed together do not return together. */
export function backOff_ms(failures: number, unit_ms: number): number {
  const doublings = Math.min(Math.max(failures - 1, 0), maxDoublings);
  return randomInt(Math.max(2, Math.ceil(unit_ms / 4)), Math.ceil(unit_ms * 2 ** doublings) + 2);
}

/** From then on the back-off grows no longer. */
const maxDoublings = 5;

/**
 * Tries a second time what may pass then: a router does not know a new certificate or authority yet, what was remembered
 * is not so any more, or a router died meanwhile.
 */
export async function twice<T>(
  act: (signal: AbortSignal) => Promise<T>,
  unit_ms: number,
  signal: AbortSignal,
): Promise<T> {
  try {
    return await act(signal);
  } catch (error) {
    const mayPass = error instanceof OverlayError && ["unauthorized", "broken"].includes(error.reason);
    if (!mayPass || signal.aborted) throw error;
    await pause(backOff_ms(1, unit_ms), signal);
    signal.throwIfAborted();
    return act(signal);
  }
}

/** Whether somebody does not know us, or does not let us in. */
export function isUnauthorized(error: unknown): boolean {
  return error instanceof OverlayError && error.reason === "unauthorized";
}
