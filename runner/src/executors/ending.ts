import { constants } from "node:os";

import type { ExecutionResult, GitSource, Usage } from "./executor.ts";
import type { Ending } from "./record.ts";

/** What the wrapper wrote when the job had ended: the shell's status, and the CPU time of the job and of all it waited for. */
export type Exit = { status: number; cpuMs: number };

/** The name of each signal by its number. */
export const signalNames = new Map(
  Object.entries(constants.signals).map(([name, number]) => [number, name as NodeJS.Signals]),
);

/** The wrapper's `exit` file: the status, then the two lines of `times`, of which the second is about the children. */
export function parseExit(text: string): Exit | undefined {
  const lines = text.split("\n");
  const status = /^[0-9]{1,3}$/.test(lines[0] ?? "") ? Number(lines[0]) : undefined;
  if (status === undefined) return undefined;
  const times = [...(lines[2] ?? "").matchAll(/([0-9]+)m([0-9.,]+)s/g)];
  const cpuMs = times.reduce((sum, [, minutes, seconds]) => {
    return sum + Number(minutes) * 60_000 + Number(seconds?.replace(",", ".")) * 1000;
  }, 0);
  return { status, cpuMs: Math.round(cpuMs) };
}

/** An ending that is asked for while another may be on its way: the first reason stays, and the shorter grace. */
export function joinEndings(before: Ending | undefined, wanted: Ending): Ending {
  const killAtBootMs = Math.min(wanted.killAtBootMs, before?.killAtBootMs ?? Infinity);
  return { ...(before ?? wanted), killAtBootMs };
}

/** What is known of an ended execution. */
export type Ended = {
  exit: Exit | undefined;
  /** `started`, or why the job could not be, or empty. */
  start: string;
  ending: Ending | undefined;
  usage: Usage;
  startTime: Date;
  endTime: Date;
  outputs: Readonly<Record<string, string>>;
};

/**
 * The result of an execution. A shell cannot tell `exit 137` from SIGKILL, and neither can we: both are `signalled`, with the
 * status kept as exit code.
 */
export function resultOf({ exit, start, ending, usage, startTime, endTime, outputs }: Ended): ExecutionResult {
  const common = {
    cpuMs: Math.max(exit?.cpuMs ?? 0, usage.cpuMs),
    memoryPeakBytes: usage.memoryPeakBytes,
    memorySource: usage.sampled ? ("sampled" as const) : ("cgroup" as const),
    startTime,
    endTime,
    outputs,
  };
  if (exit === undefined && ending === undefined) {
    return { outcome: "lost", message: "the wrapper of the job died, so how the job ended is unknown", ...common };
  }
  const signal = exit === undefined ? undefined : signalNames.get(exit.status - 128);
  const how = { ...(exit && { exitCode: exit.status }), ...(signal && { signal }) };
  if (ending !== undefined) return { outcome: ending.outcome, message: ending.reason, ...how, ...common };
  if (start !== "started") {
    const message = start === "" ? `what encloses the job failed with code ${exit?.status}` : start;
    return { outcome: "start_failed", message, ...common };
  }
  if (signal !== undefined) return { outcome: "signalled", message: `ended by ${signal}`, ...how, ...common };
  return { outcome: "exited", message: `exited with code ${exit?.status}`, ...how, ...common };
}

/** A result for what never ran or is not known: no usage, no duration. */
export function resultWithout(
  outcome: "start_failed" | "stopped" | "lost",
  message: string,
  startTime: Date,
): ExecutionResult {
  const nothing = { cpuMs: 0, memoryPeakBytes: 0, memorySource: "sampled" as const, outputs: {} };
  return { outcome, message, ...nothing, startTime, endTime: new Date() };
}

/** The source for people: without the user and password a URL may carry (I6). */
export function describeSource(source: GitSource): string {
  return `${source.url.replace(/^([a-z+]+:\/\/)[^/@]*@/i, "$1")} at ${source.ref}`;
}
