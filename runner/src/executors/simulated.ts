import { Buffer } from "node:buffer";

import { resultWithout } from "./ending.ts";
import type { Execution, ExecutionResult, Executor, Sink, StopRequest, WorkloadSpec } from "./executor.ts";

/**
 * What a simulated workload does, the JSON of `WorkloadSpec.simulation`; everything may be left out.
 * - `durationMs`: how long it runs (0)
 * - `exitCode`: how it exits (0)
 * - `lines`: how many numbered lines it writes to stdout, spread over the duration (0)
 * - `linesPerSecond`: the pace instead of the even spread; what is not written by the end is written then
 * - `bytes`: the length of each line with its newline (64, at least 16)
 * - `failStart`: it does not start, for this reason
 * - `ignoreStop`: it goes on after SIGTERM and must be killed
 * - `rejectReason`: the runner rejects it, for this reason
 * - `outputs`: what it hands on
 */
type Simulation = {
  durationMs: number;
  exitCode: number;
  lines: number;
  linesPerSecond?: number;
  bytes: number;
  failStart?: string;
  ignoreStop: boolean;
  rejectReason?: string;
  outputs: Readonly<Record<string, string>>;
};

const longestDurationMs = 24 * 60 * 60 * 1000;
const mostLines = 100_000_000;
const mostLineBytes = 1024 * 1024;
const tickMs = 20;
/** How often a workload whose sink pauses looks whether its time is up. */
const pausedNapMs = 100;
/** Written in one turn at most, so that many simulated workloads share a thread. */
const turnBytes = 256 * 1024;

/** Reads a simulation. Throws an error that names the field that is unknown or ill-typed. */
function parseSimulation(text: string | undefined): Simulation {
  const given: unknown = JSON.parse(text === undefined || text === "" ? "{}" : text);
  if (typeof given !== "object" || given === null || Array.isArray(given))
    throw new Error("simulation is not a JSON object");
  const fields = new Map<string, unknown>(Object.entries(given));
  const take = <T>(name: string, isGood: (value: unknown) => value is T): T | undefined => {
    const value = fields.get(name);
    fields.delete(name);
    if (value === undefined) return undefined;
    if (!isGood(value)) throw new Error(`simulation field ${name} is out of range or of the wrong type`);
    return value;
  };
  const between = (low: number, high: number) => {
    return (value: unknown): value is number => typeof value === "number" && value >= low && value <= high;
  };
  const isText = (value: unknown): value is string => typeof value === "string";
  const isFlag = (value: unknown): value is boolean => typeof value === "boolean";
  const isTexts = (value: unknown): value is Record<string, string> =>
    typeof value === "object" && value !== null && Object.values(value).every(isText);
  const linesPerSecond = take("linesPerSecond", between(0.001, mostLines));
  const failStart = take("failStart", isText);
  const rejectReason = take("rejectReason", isText);
  const simulation: Simulation = {
    durationMs: take("durationMs", between(0, longestDurationMs)) ?? 0,
    exitCode: take("exitCode", between(0, 255)) ?? 0,
    lines: take("lines", between(0, mostLines)) ?? 0,
    bytes: take("bytes", between(16, mostLineBytes)) ?? 64,
    ignoreStop: take("ignoreStop", isFlag) ?? false,
    outputs: take("outputs", isTexts) ?? {},
    ...(linesPerSecond !== undefined && { linesPerSecond }),
    ...(failStart !== undefined && { failStart }),
    ...(rejectReason !== undefined && { rejectReason }),
  };
  const [unknown] = fields.keys();
  if (unknown !== undefined) throw new Error(`simulation field ${unknown} is not known`);
  return simulation;
}

/**
 * The executor `simulated`: workloads that behave as their spec says, without any process, for tests and benchmarks of everything
 * around them. They live and die with the runner's process, so none is ever adopted.
 */
export function createSimulatedExecutor(): Executor {
  return {
    name: "simulated",
    refusal: ({ simulation }) => {
      try {
        return parseSimulation(simulation).rejectReason;
      } catch {
        return undefined;
      }
    },
    start: (spec, sink) => Promise.resolve(simulate(spec, sink)),
    adopt: () => Promise.resolve([]),
    probe: () => Promise.resolve({ usable: true, isolation: "none", facts: {} }),
  };
}

/** Line `index`, padded to `bytes` with its newline. */
export function simulatedLine(index: number, bytes: number): string {
  return `line ${index} `.padEnd(bytes - 1, ".") + "\n";
}

function simulate(spec: WorkloadSpec, sink: Sink): Execution {
  const { promise: result, resolve } = Promise.withResolvers<ExecutionResult>();
  const startTime = new Date();
  const startMs = performance.now();
  let simulation: Simulation | undefined;
  let written = 0;
  let isPaused = false;
  let stopped: { request: StopRequest; killAtMs: number } | undefined;
  let timer: NodeJS.Timeout | NodeJS.Immediate | undefined;
  let isDone = false;

  const conclude = (answer: ExecutionResult): void => {
    if (isDone) return;
    isDone = true;
    resolve(answer);
  };
  const ended = (fields: Pick<ExecutionResult, "outcome" | "message" | "exitCode" | "signal">): void => {
    conclude({ ...resultWithout("lost", "", startTime), outputs: simulation?.outputs ?? {}, ...fields });
  };

  const lineGoal = ({ lines, durationMs, linesPerSecond }: Simulation, elapsedMs: number): number => {
    if (elapsedMs >= durationMs) return lines;
    const pace = linesPerSecond === undefined ? lines / durationMs : linesPerSecond / 1000;
    return Math.min(lines, Math.floor(elapsedMs * pace));
  };

  const writeUpTo = (goal: number, bytes: number): void => {
    const end = Math.min(goal, written + Math.max(1, Math.floor(turnBytes / bytes)));
    if (end <= written) return;
    let text = "";
    for (; written < end; written++) text += simulatedLine(written, bytes);
    isPaused = sink.output("stdout", Buffer.from(text)) === "pause";
  };

  const live = (script: Simulation): void => {
    if (isDone) return;
    const elapsedMs = performance.now() - startMs;
    const { timeoutMs } = spec;
    if (stopped !== undefined && (!script.ignoreStop || performance.now() >= stopped.killAtMs)) {
      const signal = script.ignoreStop ? "SIGKILL" : "SIGTERM";
      ended({ outcome: "stopped", message: stopped.request.reason, signal, exitCode: script.ignoreStop ? 137 : 143 });
      return;
    }
    if (timeoutMs !== undefined && elapsedMs >= timeoutMs && script.durationMs > timeoutMs) {
      ended({ outcome: "timed_out", message: `timed out after ${timeoutMs} ms`, signal: "SIGTERM", exitCode: 143 });
      return;
    }
    if (!isPaused) writeUpTo(lineGoal(script, elapsedMs), script.bytes);
    if (isPaused) {
      timer = setTimeout(live, pausedNapMs, script);
      return;
    }
    if (elapsedMs >= script.durationMs && written === script.lines) {
      ended({ outcome: "exited", exitCode: script.exitCode, message: `exited with code ${script.exitCode}` });
      return;
    }
    const isBehind = written < lineGoal(script, elapsedMs);
    const napMs = script.lines > written ? tickMs : nextEventMs(script, elapsedMs);
    timer = isBehind ? setImmediate(live, script) : setTimeout(live, napMs, script);
  };

  const nextEventMs = (script: Simulation, elapsedMs: number): number => {
    const killInMs = stopped === undefined ? Infinity : stopped.killAtMs - performance.now();
    return Math.max(0, Math.min(script.durationMs - elapsedMs, (spec.timeoutMs ?? Infinity) - elapsedMs, killInMs));
  };

  const wake = (): void => {
    if (simulation === undefined) return;
    clearTimeout(timer as NodeJS.Timeout);
    clearImmediate(timer as NodeJS.Immediate);
    live(simulation);
  };

  const begin = (): void => {
    try {
      simulation = parseSimulation(spec.simulation);
    } catch (error) {
      return conclude(resultWithout("start_failed", (error as Error).message, startTime));
    }
    if (simulation.failStart !== undefined)
      return conclude(resultWithout("start_failed", simulation.failStart, startTime));
    sink.started({ startTime });
    live(simulation);
  };
  setImmediate(begin);

  return {
    workloadId: spec.workloadId,
    fence: spec.fence,
    result,
    stop(request) {
      const killAtMs = Math.min(performance.now() + request.graceMs, stopped?.killAtMs ?? Infinity);
      stopped = { request: stopped?.request ?? request, killAtMs };
      wake();
    },
    resume() {
      isPaused = false;
      wake();
    },
    usage: () => ({ cpuMs: 0, memoryPeakBytes: 0, sampled: true }),
    forget: () => Promise.resolve(),
  };
}
