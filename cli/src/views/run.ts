import { timestampMs } from "@bufbuild/protobuf/wkt";
import {
  CauseKindSchema,
  RunSchema,
  RunState,
  RunStateSchema,
  type Run,
} from "../../../proto/gen/agyn/runs/v1/run_pb.ts";
import { formatDuration } from "../durations.ts";
import type { Tone } from "../terminal.ts";
import { age, enumWord, instant, messageJson, pairs, type View } from "../view.ts";

/** The states that can be asked for, by their words. */
export const runStates = {
  queued: RunState.QUEUED,
  running: RunState.RUNNING,
  succeeded: RunState.SUCCEEDED,
  failed: RunState.FAILED,
  cancelled: RunState.CANCELLED,
} as const;

/** Whether nothing more happens to it, unless it is run again. */
export function hasRunEnded({ endTime }: Run): boolean {
  return endTime !== undefined;
}

/** The state, and whether it is being cancelled. */
export function runStateText(run: Run): string {
  const state = enumWord(RunStateSchema, run.state);
  return run.cancelRequested && !hasRunEnded(run) ? `${state}, being cancelled` : state;
}

export function runTone({ state }: Run): Tone | undefined {
  if (state === RunState.SUCCEEDED) return "good";
  if (state === RunState.FAILED) return "bad";
  return state === RunState.RUNNING ? undefined : "warning";
}

/** From its first job's start to its end, or until now. */
export function runTime({ startTime, endTime }: Run, now: Date): string {
  if (startTime === undefined) return "-";
  return formatDuration((endTime === undefined ? now.getTime() : timestampMs(endTime)) - timestampMs(startTime));
}

/** `2 failed, 1 skipped, 5 succeeded`: what is left to do first. */
export function jobCountsText({ jobs }: Run): string {
  if (jobs === undefined) return "";
  const { running, queued, blocked, failed, cancelled, skipped, succeeded } = jobs;
  return Object.entries({ running, queued, blocked, failed, cancelled, skipped, succeeded })
    .filter(([, count]) => count > 0)
    .map(([state, count]) => `${count} ${state}`)
    .join(", ");
}

function sourceText({ ref, commit, bundleDigest }: Run): string {
  if (bundleDigest !== "") return `bundle ${bundleDigest.slice(0, 12)}`;
  return [ref, commit.slice(0, 12)].filter((part) => part !== "").join(" at ");
}

function causeText({ cause }: Run): string {
  if (cause === undefined) return "";
  const who = cause.triggerId === "" ? cause.userId : cause.triggerId;
  const kind = enumWord(CauseKindSchema, cause.kind);
  return [kind, cause.event, who === "" ? "" : `by ${who}`].filter((part) => part !== "").join(" ");
}

export const runView: View<Run> = {
  noun: "runs",
  id: ({ id }) => id,
  toJson: messageJson(RunSchema),
  columns: [
    { header: "RUN", value: ({ number }) => String(number) },
    { header: "STATE", value: runStateText, tone: runTone },
    { header: "PROJECT", value: ({ projectName }) => projectName },
    { header: "PIPELINE", value: ({ pipeline, name }) => (name === "" ? pipeline : name) },
    { header: "SOURCE", value: sourceText },
    { header: "JOBS", value: jobCountsText },
    { header: "TIME", value: runTime },
    { header: "AGE", value: ({ createTime }, now) => age(createTime, now) },
    { header: "ATTEMPT", value: ({ attempt }) => String(attempt), isWide: true },
    { header: "LABELS", value: ({ labels }) => pairs(labels), isWide: true },
    { header: "CAUSE", value: causeText, isWide: true },
    { header: "ID", value: ({ id }) => id, isWide: true },
  ],
  details: (run) => [
    ["run", String(run.number)],
    ["id", run.id],
    ["organization", run.organizationId],
    ["project", run.projectName],
    ["pipeline", run.pipeline],
    ["name", run.name],
    ["state", runStateText(run)],
    ["message", run.message],
    ["attempt", String(run.attempt)],
    ["source", sourceText(run)],
    ["commit", run.commit],
    ["inputs", pairs(run.inputs)],
    ["labels", pairs(run.labels)],
    ["cause", causeText(run)],
    ["jobs", jobCountsText(run)],
    ["jobs ran", formatDuration(Number(run.runningMs))],
    ["jobs waited", formatDuration(Number(run.waitingMs))],
    ["created", instant(run.createTime)],
    ["started", instant(run.startTime)],
    ["ended", instant(run.endTime)],
  ],
};
