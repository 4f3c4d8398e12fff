import { expect, test } from "vitest";
import {
  deriveJobState,
  deriveRunState,
  retryAfter_ms,
  type JobState,
  type RetryRule,
  type RunState,
} from "../../server/src/domain/run-state.ts";
import type { Phase, WorkloadResult } from "../../server/src/domain/workload.ts";

const evaluations = [undefined, "run", "skip", "problems"] as const;

const byPhase: [Phase, JobState][] = [
  ["pending", "running"],
  ["placed", "running"],
  ["starting", "running"],
  ["running", "running"],
  ["stopping", "running"],
  ["succeeded", "succeeded"],
  ["cancelled", "cancelled"],
  ["failed", "failed"],
  ["lost", "failed"],
];

test.each(byPhase)("a job whose workload is %s is %s, whatever else is said of it", (phase, state) => {
  for (const evaluation of evaluations) {
    for (const cancelled of [true, false]) expect(deriveJobState({ evaluation, cancelled, phase })).toBe(state);
  }
});

test("a job without a workload is what its evaluation says, unless it was cancelled", () => {
  const derive = (cancelled: boolean) =>
    evaluations.map((evaluation) => deriveJobState({ evaluation, cancelled, phase: undefined }));

  expect(derive(false)).toEqual(["blocked", "queued", "skipped", "failed"]);
  expect(derive(true)).toEqual(["cancelled", "cancelled", "cancelled", "cancelled"]);
});

const runs: [JobState[], RunState][] = [
  [[], "succeeded"],
  [["blocked"], "queued"],
  [["queued", "blocked"], "queued"],
  [["queued", "skipped"], "queued"],
  [["queued", "cancelled"], "queued"],
  [["running", "blocked"], "running"],
  [["succeeded", "queued"], "running"],
  [["failed", "blocked"], "running"],
  [["failed", "running"], "running"],
  [["succeeded", "skipped"], "succeeded"],
  [["skipped"], "succeeded"],
  [["succeeded", "cancelled"], "cancelled"],
  [["cancelled", "skipped"], "cancelled"],
  [["succeeded", "failed", "cancelled"], "failed"],
];

test.each(runs)("a run with jobs %j is %s", (jobs, state) => {
  expect(deriveRunState(jobs)).toBe(state);
  expect(deriveRunState(jobs.toReversed())).toBe(state);
});

const rule: RetryRule = { max: 3, on: ["failed", "lost"], backoff_ms: 1000, maximumBackoff_ms: 3000 };
const timedOut = { outcome: "timed_out" } as WorkloadResult;
const ended = { phase: "failed" as Phase, result: null, stopRequested: false, try: 1 };

test.each<[string, RetryRule | null, Partial<typeof ended> | { result: WorkloadResult }, number | undefined]>([
  ["there is no rule", null, {}, undefined],
  ["it failed for the first time", rule, {}, 1000],
  ["it failed for the second time: twice the wait", rule, { try: 2 }, 2000],
  ["it failed for the third time: the longest wait", rule, { try: 3 }, 3000],
  ["its tries are used up", rule, { try: 4 }, undefined],
  ["its runner was lost", rule, { phase: "lost" }, 1000],
  ["losses are not tried again", { ...rule, on: ["failed"] }, { phase: "lost" }, undefined],
  ["it timed out, which is not tried again", rule, { result: timedOut }, undefined],
  ["it timed out, which is tried again", { ...rule, on: ["timed_out"] }, { result: timedOut }, 1000],
  ["it failed, and only time-outs are tried again", { ...rule, on: ["timed_out"] }, {}, undefined],
  ["somebody asked for its end", rule, { stopRequested: true }, undefined],
  ["it succeeded", rule, { phase: "succeeded" }, undefined],
  ["it was cancelled", rule, { phase: "cancelled" }, undefined],
])("whether and when a job is tried again where %s", (_where, given, how, wait_ms) => {
  expect(retryAfter_ms(given, { ...ended, ...how })).toBe(wait_ms);
});
