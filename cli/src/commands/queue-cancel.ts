import { defineCommand } from "../command.ts";
import { confirm } from "../confirm.ts";
import { UsageError } from "../failures.ts";
import { dryRunOption, queueFilterOptions, reasonOption, toQueueFilter, yesOption } from "../option-sets.ts";
import { jobView } from "../views/job.ts";

export const queueCancel = defineCommand({
  path: ["queue", "cancel"],
  summary: "Cancels queued jobs, by name or by filter; what runs is not touched",
  arguments: { jobs: { kind: "rest", help: "the jobs: <run>/<name>, or ids" } },
  options: { ...queueFilterOptions, reason: reasonOption, dryRun: dryRunOption, yes: yesOption },
  examples: [
    "agynctl queue cancel 42/test 42/lint",
    "agynctl queue cancel --label team=ml --dry-run",
    "agynctl queue cancel --verdict never --reason 'no such runner' --yes",
  ],
  async run(context, { jobs }, { project, label, pipeline, verdict, reason = "", dryRun, yes }) {
    const { output, organization } = context;
    const isByFilter = project !== undefined || label.length > 0 || pipeline !== undefined || verdict !== undefined;
    if (jobs.length === 0 && !isByFilter)
      throw new UsageError("say which jobs: name them, or give --project, --label, --pipeline or --verdict");
    const filter = { jobs: [...jobs], ...toQueueFilter({ project, label, pipeline, verdict }) };
    const client = await context.controlPlane();
    if (isByFilter && !dryRun && !yes) {
      const { count } = await client.queue.cancelQueuedJobs({ organization, filter, reason, dryRun: true });
      await confirm(context, `cancel ${count} queued ${count === 1 ? "job" : "jobs"}?`, yes);
    }
    const answer = await client.queue.cancelQueuedJobs({ organization, filter, reason, dryRun });
    await output.list(jobView, answer.jobs);
    const verb = dryRun ? "would be cancelled" : "cancelled";
    await output.note(`${answer.count} queued ${answer.count === 1 ? "job" : "jobs"} ${verb}`);
    return undefined;
  },
});
