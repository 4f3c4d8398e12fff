import { defineCommand } from "../command.ts";
import { attemptOption } from "../option-sets.ts";
import { getRun, listJobs } from "../run-reader.ts";
import { jobView } from "../views/job.ts";
import { runView } from "../views/run.ts";

export const runsGet = defineCommand({
  path: ["runs", "get"],
  summary: "Shows one run and its jobs",
  arguments: { run: { kind: "required", help: "the run: its number, id or start of an id" } },
  options: { attempt: attemptOption },
  examples: ["agynctl runs get 17", "agynctl runs get 17 --attempt 1", "agynctl runs get 17 -o json"],
  async run(context, { run }, { attempt }) {
    const { output } = context;
    const found = await getRun(context, run);
    await output.get(runView, found);
    if (output.format !== "table" && output.format !== "wide") return undefined;
    await output.line("");
    await output.list(jobView, await listJobs(context, found, attempt));
    return undefined;
  },
});
