import fc from "fast-check";
import { expect, test } from "vitest";
import type { Holding } from "../../runner/src/holding.ts";
import { judgeLoss, stopAfterMs } from "../../runner/src/loss.ts";

const usual = { heartbeatIntervalMs: 10_000, lossMarginMs: 30_000 };

function running(lostAfterMs: number | undefined, retriedWhenLost = true): Holding {
  const of = { workloadId: "wkl_aaaaaaaaaaaaaaaa", fence: 1n, executor: "process", resources: {} };
  return {
    placement: { ...of, retriedWhenLost, lostAfterMs, graceMs: 10_000 },
    phase: { kind: "running", startTimeMs: 0 },
    stop: undefined,
    forgotten: false,
    logSettled: false,
    uploadsSettled: true,
  };
}

test("a workload that is retried when lost is stopped the margin before it is given up", () => {
  expect(judgeLoss(running(600_000), 569_999, usual)).toEqual({ kind: "later", inMs: 1 });
  expect(judgeLoss(running(600_000), 570_000, usual)).toMatchObject({ kind: "now", order: { cause: "lost" } });
});

test("a workload that is not retried, or never given up, is never stopped", () => {
  expect(judgeLoss(running(600_000, false), 1e9, usual)).toEqual({ kind: "never" });
  expect(judgeLoss(running(undefined), 1e9, usual)).toEqual({ kind: "never" });
});

test("a short loss time does not stop a workload between two heartbeats", () => {
  expect(stopAfterMs(100, usual)).toBeGreaterThan(usual.heartbeatIntervalMs);
});

test("whatever the times, the stop and its grace end before the control plane gives the workload up", () => {
  const times = fc.record({
    lostAfterMs: fc.integer({ min: 100, max: 1e9 }),
    heartbeatIntervalMs: fc.integer({ min: 50, max: 60_000 }),
    extraMs: fc.integer({ min: 0, max: 1e6 }),
    lateMs: fc.integer({ min: 0, max: 100 }),
  });
  fc.assert(
    fc.property(times, ({ lostAfterMs, heartbeatIntervalMs, extraMs, lateMs }) => {
      const lossMarginMs = 2 * heartbeatIntervalMs + extraMs;
      const atMs = stopAfterMs(lostAfterMs, { heartbeatIntervalMs, lossMarginMs });
      const verdict = judgeLoss(running(lostAfterMs), atMs + lateMs, { heartbeatIntervalMs, lossMarginMs });
      if (verdict.kind !== "now") throw new Error("not stopped when due");
      expect(atMs).toBeLessThan(lostAfterMs + lossMarginMs);
      if (lateMs < lossMarginMs / 4) {
        expect(atMs + lateMs + verdict.order.graceMs).toBeLessThan(lostAfterMs + lossMarginMs);
      }
    }),
  );
});
