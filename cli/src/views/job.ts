import { timestampMs } from "@bufbuild/protobuf/wkt";
import { Verdict, VerdictSchema } from "../../../proto/gen/agyn/orchestrator/v1/explanation_pb.ts";
import { JobSchema, JobState, JobStateSchema, type Job } from "../../../proto/gen/agyn/runs/v1/run_pb.ts";
import { formatDuration } from "../durations.ts";
import type { Tone } from "../terminal.ts";
import { enumWord, instant, messageJson, pairs, type View } from "../view.ts";

/** What a person types to name it: `17/test`. */
export function jobReference({ runNumber, name }: Job): string {
  return `${runNumber}/${name}`;
}

export function hasJobEnded({ state }: Job): boolean {
  return state >= JobState.SUCCEEDED;
}

/** The state, and whether the result was kept from an earlier attempt. */
export function jobStateText(job: Job): string {
  const state = enumWord(JobStateSchema, job.state);
  return job.reused ? `${state}, kept` : state;
}

export function jobTone({ state }: Job): Tone | undefined {
  if (state === JobState.SUCCEEDED) return "good";
  if (state === JobState.FAILED) return "bad";
  if (state === JobState.SKIPPED || state === JobState.BLOCKED) return "dim";
  return state === JobState.RUNNING ? undefined : "warning";
}

/** Why it is in its state, in a line. */
export function whyText(job: Job): string {
  if (job.message !== "") return job.message;
  if (job.state !== JobState.BLOCKED || job.needs.length === 0) return "";
  return `needs ${job.needs.join(", ")}`;
}

/** Without waiting: from its start to its end, or until now. */
export function jobRunTime({ startTime, endTime }: Job, now: Date): string {
  return startTime === undefined ? "-" : between(timestampMs(startTime), endTime && timestampMs(endTime), now);
}

/** For a runner, from when it joined the queue. */
function waitingTime({ queueTime, startTime, endTime }: Job, now: Date): string {
  if (queueTime === undefined) return "-";
  const end = startTime ?? endTime;
  return between(timestampMs(queueTime), end && timestampMs(end), now);
}

/** With waiting. */
function wholeTime({ queueTime, endTime }: Job, now: Date): string {
  return queueTime === undefined ? "-" : between(timestampMs(queueTime), endTime && timestampMs(endTime), now);
}

function between(start: number, end: number | undefined, now: Date): string {
  return formatDuration((end ?? now.getTime()) - start);
}

export const jobView: View<Job> = {
  noun: "jobs",
  id: ({ id }) => id,
  toJson: messageJson(JobSchema),
  columns: [
    { header: "JOB", value: ({ name }) => name },
    { header: "STATE", value: jobStateText, tone: jobTone },
    { header: "WHY", value: whyText },
    { header: "RUNNER", value: ({ runnerName }) => runnerName },
    { header: "RAN", value: jobRunTime },
    { header: "WAITED", value: waitingTime },
    { header: "TRY", value: ({ try: number, workloadIds }) => (workloadIds.length === 0 ? "-" : String(number)) },
    { header: "TOTAL", value: wholeTime, isWide: true },
    { header: "PRIORITY", value: ({ priority }) => String(priority), isWide: true },
    { header: "WORKLOAD", value: ({ workloadId }) => workloadId, isWide: true },
    { header: "ID", value: ({ id }) => id, isWide: true },
  ],
  details: (job) => [
    ["job", jobReference(job)],
    ["id", job.id],
    ["project", job.projectName],
    ["attempt", String(job.attempt)],
    ["definition", job.definition],
    ["matrix", pairs(job.matrix)],
    ["needs", job.needs.join(", ")],
    ["state", jobStateText(job)],
    ["why", whyText(job)],
    ["verdict", job.verdict === Verdict.UNSPECIFIED ? "" : enumWord(VerdictSchema, job.verdict)],
    ["runner", job.runnerId === "" ? "" : `${job.runnerName} (${job.runnerId})`],
    ["try", job.workloadIds.length === 0 ? "" : String(job.try)],
    ["workloads", job.workloadIds.join(", ")],
    ["outputs", pairs(job.outputs)],
    ["priority", String(job.priority)],
    ["concurrency", job.concurrencyGroup],
    ["labels", pairs(job.labels)],
    ["queued", instant(job.queueTime)],
    ["started", instant(job.startTime)],
    ["ended", instant(job.endTime)],
    ["not before", hasJobEnded(job) ? "" : instant(job.availableTime)],
    ["waits until", job.state === JobState.QUEUED ? instant(job.queueDeadline) : ""],
  ],
};
