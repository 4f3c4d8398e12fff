import { create } from "@bufbuild/protobuf";
import {
  QueueItemSchema,
  QueueSettingsSchema,
  type Estimate,
  type Pause,
  type QueueItem,
  type QueueSettings,
} from "../../../proto/gen/agyn/queue/v1/queue_service_pb.ts";
import { JobSchema, type Job } from "../../../proto/gen/agyn/runs/v1/run_pb.ts";
import { formatDuration, fromProtoDuration } from "../durations.ts";
import { age, instant, messageJson, type View } from "../view.ts";
import { jobReference } from "./job.ts";

/** The job of an item; one without, which the contract does not know, is shown as an empty one. */
export function jobOf({ job }: QueueItem): Job {
  return job ?? create(JobSchema);
}

/** `3 of 12`; `-` where it does not compete. */
export function positionText({ position, competitors }: QueueItem): string {
  return position === 0 ? "-" : `${position} of ${competitors}`;
}

/** The first few by name, the rest as a number. */
export function runnersText({ runnerNames, runnerCount }: QueueItem): string {
  const shown = runnerNames.slice(0, 3);
  const rest = runnerCount - shown.length;
  if (shown.length === 0) return rest > 0 ? String(rest) : "none";
  return `${shown.join(", ")}${rest > 0 ? ` and ${rest} more` : ""}`;
}

/** `~2m (1m to 5m)`; `-` where there is nothing to tell it from. */
function estimateText(estimate: Estimate | undefined): string {
  const { middle, low, high } = estimate ?? {};
  if (middle === undefined) return "-";
  const spread =
    low === undefined || high === undefined
      ? ""
      : ` (${formatDuration(fromProtoDuration(low))} to ${formatDuration(fromProtoDuration(high))})`;
  return `~${formatDuration(fromProtoDuration(middle))}${spread}`;
}

export const queueItemView: View<QueueItem> = {
  noun: "queued jobs",
  id: (item) => jobOf(item).id,
  toJson: messageJson(QueueItemSchema),
  columns: [
    { header: "POSITION", value: positionText },
    { header: "JOB", value: (item) => jobReference(jobOf(item)) },
    { header: "PROJECT", value: (item) => jobOf(item).projectName },
    { header: "PRIORITY", value: (item) => String(jobOf(item).priority) },
    { header: "WAITS FOR", value: ({ waitsFor }) => waitsFor },
    { header: "RUNNERS", value: runnersText },
    { header: "AGE", value: (item, now) => age(jobOf(item).queueTime, now) },
    { header: "ESTIMATE", value: ({ estimate }) => estimateText(estimate) },
    { header: "PIPELINE", value: ({ pipeline }) => pipeline, isWide: true },
    { header: "ID", value: (item) => jobOf(item).id, isWide: true },
  ],
  details: (item) => [
    ["job", jobReference(jobOf(item))],
    ["id", jobOf(item).id],
    ["project", jobOf(item).projectName],
    ["pipeline", item.pipeline],
    ["position", positionText(item)],
    ["waits for", item.waitsFor],
    ["runners", runnersText(item)],
    ["priority", String(jobOf(item).priority)],
    ["queued", instant(jobOf(item).queueTime)],
    ["waits until", instant(jobOf(item).queueDeadline)],
    ["estimate", item.estimate === undefined ? "" : estimateText(item.estimate)],
  ],
};

/** `the queue of project web is paused: migration` */
export function pauseText({ scope, reason }: Pause): string {
  const whose = scope === "cluster" || scope === "organization" ? `the ${scope}` : `project ${scope}`;
  return `the queue of ${whose} is paused: ${reason}`;
}

export const queueSettingsView: View<QueueSettings> = {
  noun: "limits",
  id: () => "",
  toJson: messageJson(QueueSettingsSchema),
  columns: [],
  details: ({ maximumRunningJobs, maximumQueuedJobs, weight, runningJobs, queuedJobs, pauses }) => [
    ["running jobs", `${runningJobs}, at most ${maximumRunningJobs === 0 ? "any number" : maximumRunningJobs}`],
    ["queued jobs", `${queuedJobs}, at most ${maximumQueuedJobs}`],
    ["weight on shared runners", String(weight)],
    ["paused", pauses.map(pauseText).join("; ")],
  ],
};
