import { defineCommand } from "../command.ts";
import { attemptOption } from "../option-sets.ts";
import { getRun, listJobs } from "../run-reader.ts";
import { jobView } from "../views/job.ts";

export const runsJobs = defineCommand({
  path: ["runs", "jobs"],
  summary: "Lists the jobs of a run, in the pipeline's order",
  arguments: { run: { kind: "required", help: "the run: its number, id or start of an id" } },
  options: { attempt: attemptOption },
  examples: ["agynctl runs jobs 17", "agynctl runs jobs 17 --attempt 1 -o json"],
  async run(context, { run }, { attempt }) {
    await context.output.list(jobView, await listJobs(context, await getRun(context, run), attempt));
    return undefined;
  },
});
