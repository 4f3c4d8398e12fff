import { defineCommand } from "../command.ts";
import { UsageError } from "../failures.ts";
import { followRun } from "../follow-run.ts";
import { attemptOption } from "../option-sets.ts";
import { parseInteger } from "../requirements.ts";
import { getRun, listJobs, selectJobs } from "../run-reader.ts";
import { showJobLogs } from "../show-job-logs.ts";

export const runsLogs = defineCommand({
  path: ["runs", "logs"],
  summary: "Shows the logs of a run's jobs: of each its last try",
  arguments: { run: { kind: "required", help: "the run: its number, id or start of an id" } },
  options: {
    job: { kind: "list", placeholder: "job", help: "only of this job, or of every cell of this matrix; repeatable" },
    attempt: attemptOption,
    follow: { kind: "flag", short: "f", help: "go on with what comes, as run --follow does" },
    tail: {
      kind: "parsed",
      placeholder: "n",
      parse: parseInteger("tail", 1, 100_000),
      help: "of each log only the last so many lines",
    },
  },
  examples: ["agynctl runs logs 17", "agynctl runs logs 17 --job test --tail 100", "agynctl runs logs 17 --follow"],
  async run(context, { run }, { job, attempt, follow, tail }) {
    const { format } = context.output;
    if (follow && attempt !== undefined)
      throw new UsageError("--follow shows the last attempt: it does not go with --attempt");
    if (follow && format !== "table" && format !== "wide")
      throw new UsageError("--follow shows logs: it goes with no other output format");
    const found = await getRun(context, run);
    const jobs = selectJobs(await listJobs(context, found, attempt), job);
    if (!follow) return showJobLogs(context, jobs, tail);
    const names = new Set(jobs.map(({ name }) => name));
    return followRun(context, found, { shows: ({ name }) => names.has(name), tail });
  },
});
