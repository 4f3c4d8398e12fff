import type { Holding, StopOrder } from "./holding.ts";
import { isLive } from "./holding.ts";

/** What the control plane said of its own arithmetic. */
export type LossTimes = { heartbeatIntervalMs: number; lossMarginMs: number };

/**
 * When, in ms since the last acknowledged heartbeat was sent, a workload that is tried elsewhere must begin to end here:
 * the margin before it is given up. The control plane gives it up a margin after `lostAfterMs`, so where that is
 * short against the heartbeat, a part of that second margin is used instead of stopping between two heartbeats.
 */
export function stopAfterMs(lostAfterMs: number, { heartbeatIntervalMs, lossMarginMs }: LossTimes): number {
  const soonest = Math.min(1.5 * heartbeatIntervalMs, lostAfterMs + 0.75 * lossMarginMs);
  return Math.max(lostAfterMs - lossMarginMs, soonest);
}

/** The order to stop a workload whose time without contact has come, or in how many ms that will be. */
export type LossVerdict = { kind: "never" } | { kind: "later"; inMs: number } | { kind: "now"; order: StopOrder };

/** Decides about one workload, `sinceContactMs` after the last acknowledged heartbeat was sent. */
export function judgeLoss(holding: Holding, sinceContactMs: number, times: LossTimes): LossVerdict {
  const { retriedWhenLost, lostAfterMs, graceMs } = holding.placement;
  if (!retriedWhenLost || lostAfterMs === undefined || !isLive(holding)) return { kind: "never" };

  const dueMs = stopAfterMs(lostAfterMs, times);
  if (sinceContactMs < dueMs) return { kind: "later", inMs: dueMs - sinceContactMs };

  const leftMs = Math.max(0, lostAfterMs + times.lossMarginMs - sinceContactMs);
  const seconds = Math.round(sinceContactMs / 100) / 10;
  const reason = `the control plane was out of reach for ${seconds} s and tries this workload elsewhere`;
  return { kind: "now", order: { cause: "lost", graceMs: Math.min(graceMs, leftMs / 2), reason } };
}
