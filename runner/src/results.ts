import type { ExecutionResult } from "./executors/executor.ts";
import type { HeldOutcome, HeldResult } from "./holding.ts";

/** What is reported of an execution's result. */
export function resultOf(result: ExecutionResult): HeldResult {
  const { outcome, exitCode, signal, message, cpuMs, memoryPeakBytes, memorySource, startTime, endTime, outputs } =
    result;
  const hasStarted = outcome !== "start_failed";
  return {
    outcome,
    exitCode: exitCode ?? 0,
    signal: signal ?? "",
    message,
    cpuMs,
    memoryPeakBytes,
    memorySampled: memorySource === "sampled",
    startTimeMs: hasStarted ? startTime.getTime() : undefined,
    endTimeMs: endTime.getTime(),
    outputs,
  };
}

/** The result of something that has no execution to speak for it. */
export function resultWithout(outcome: HeldOutcome, message: string): HeldResult {
  return {
    outcome,
    exitCode: 0,
    signal: "",
    message,
    cpuMs: 0,
    memoryPeakBytes: 0,
    memorySampled: true,
    startTimeMs: undefined,
    endTimeMs: Date.now(),
  };
}
