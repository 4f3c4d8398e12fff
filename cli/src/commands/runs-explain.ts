import type { QueueItem } from "../../../proto/gen/agyn/queue/v1/queue_service_pb.ts";
import { JobState, type Job } from "../../../proto/gen/agyn/runs/v1/run_pb.ts";
import { defineCommand } from "../command.ts";
import { getRun, listJobs } from "../run-reader.ts";
import type { View } from "../view.ts";
import { jobView, jobStateText, jobTone, whyText } from "../views/job.ts";
import { runnersText, positionText } from "../views/queue.ts";

export const runsExplain = defineCommand({
  path: ["runs", "explain"],
  summary: "Says of each job of a run that has not succeeded why: what it waits for, or how it ended",
  arguments: { run: { kind: "required", help: "the run: its number, id or start of an id" } },
  options: {},
  examples: ["agynctl runs explain 17"],
  async run(context, { run }) {
    const { output } = context;
    const found = await getRun(context, run);
    const jobs = (await listJobs(context, found)).filter(({ state }) => state !== JobState.SUCCEEDED);
    const { queue } = await context.controlPlane();
    const queued = jobs.filter(({ state }) => state === JobState.QUEUED).map(({ id }) => id);
    const waiting = new Map<string, QueueItem>();
    if (queued.length > 0) {
      const request = { organization: found.organizationId, filter: { jobs: queued }, pageSize: queued.length };
      for (const item of (await queue.listQueue(request)).items) waiting.set(item.job?.id ?? "", item);
    }
    await output.list(explainedView(waiting), jobs);
    return undefined;
  },
});

function explainedView(waiting: ReadonlyMap<string, QueueItem>): View<Job> {
  const ofItem = (job: Job, text: (item: QueueItem) => string): string => {
    const item = waiting.get(job.id);
    return item === undefined ? "" : text(item);
  };
  return {
    ...jobView,
    noun: "jobs that have not succeeded",
    columns: [
      { header: "JOB", value: ({ name }) => name },
      { header: "STATE", value: jobStateText, tone: jobTone },
      { header: "POSITION", value: (job) => ofItem(job, positionText) },
      { header: "WHY", value: (job) => ofItem(job, ({ waitsFor }) => waitsFor) || whyText(job) },
      { header: "RUNNERS", value: (job) => ofItem(job, runnersText) },
    ],
  };
}
