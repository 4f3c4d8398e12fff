import { defineCommand } from "../command.ts";
import { confirm } from "../confirm.ts";
import { toProtoDuration } from "../durations.ts";
import { UsageError } from "../failures.ts";
import { dryRunOption, graceOption, reasonOption, runFilterOptions, toRunFilter, yesOption } from "../option-sets.ts";
import { runView } from "../views/run.ts";

export const runsCancel = defineCommand({
  path: ["runs", "cancel"],
  summary: "Ends runs: queued jobs at once, running ones by SIGTERM; asked again, by SIGKILL",
  arguments: { runs: { kind: "rest", help: "the runs: numbers, ids or starts of ids" } },
  options: { ...runFilterOptions, grace: graceOption, reason: reasonOption, dryRun: dryRunOption, yes: yesOption },
  examples: [
    "agynctl runs cancel 17 --grace 30s --reason 'wrong branch'",
    "agynctl runs cancel --project web --state queued --dry-run",
    "agynctl runs cancel --label team=ml --yes",
  ],
  async run(context, { runs }, { project, label, state, pipeline, grace, reason = "", dryRun, yes }) {
    const { output, organization } = context;
    const filter = { runs: [...runs], ...toRunFilter({ project, label, state, pipeline }) };
    const isByFilter = project !== undefined || label.length > 0 || state.length > 0 || pipeline !== undefined;
    if (runs.length === 0 && !isByFilter)
      throw new UsageError("say which runs: name them, or give --project, --label, --state or --pipeline");
    const client = await context.controlPlane();
    const graceDuration = grace === undefined ? undefined : toProtoDuration(grace);
    const request = { organization, filter, reason, grace: graceDuration };
    if (isByFilter && !dryRun && !yes) {
      const { count } = await client.runs.cancelRuns({ ...request, dryRun: true });
      await confirm(context, `cancel ${count} ${count === 1 ? "run" : "runs"}?`, yes);
    }
    const answer = await client.runs.cancelRuns({ ...request, dryRun });
    await output.list(runView, answer.runs);
    const verb = dryRun ? "would be cancelled" : "cancelled";
    await output.note(`${answer.count} ${answer.count === 1 ? "run" : "runs"} ${verb}`);
    return undefined;
  },
});
