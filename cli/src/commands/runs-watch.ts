import { streamOptions } from "../client.ts";
import { defineCommand } from "../command.ts";
import { getRun } from "../run-reader.ts";
import { jobView } from "../views/job.ts";
import { runView } from "../views/run.ts";
import { watch } from "../watch.ts";

export const runsWatch = defineCommand({
  path: ["runs", "watch"],
  summary: "Shows the live runs, or the jobs of one run, then every change, until Ctrl-C",
  arguments: { run: { kind: "optional", help: "only the jobs of this run: its number, id or start of an id" } },
  options: { project: { kind: "text", placeholder: "project", help: "only the runs of this project" } },
  examples: ["agynctl runs watch", "agynctl runs watch --project web", "agynctl runs watch 17 -o json"],
  async run(context, { run }, { project = "" }) {
    const { runs } = await context.controlPlane();
    if (run === undefined) {
      const { organization } = context;
      return watch(context, runView, {
        open: (bookmark) => runs.watchRuns({ organization, project, bookmark }, streamOptions),
        items: (message) => message.runs,
      });
    }
    const { id, organizationId } = await getRun(context, run);
    return watch(context, jobView, {
      open: (bookmark) => runs.watchRuns({ organization: organizationId, runId: id, project, bookmark }, streamOptions),
      items: (message) => message.jobs,
    });
  },
});
