import { defineCommand } from "../command.ts";
import { UsageError } from "../failures.ts";
import { required } from "../required.ts";
import { reasonOption } from "../option-sets.ts";
import { queueSettingsView } from "../views/queue.ts";

export const queuePause = defineCommand({
  path: ["queue", "pause"],
  summary: "Holds back the queue of an organization, a project or the cluster; what runs goes on",
  arguments: {},
  options: {
    project: { kind: "text", placeholder: "project", help: "only of this project" },
    cluster: { kind: "flag", help: "of all organizations" },
    reason: reasonOption,
  },
  examples: [
    "agynctl queue pause --project web --reason 'the database is being moved'",
    "agynctl queue pause --cluster --reason maintenance",
  ],
  async run({ controlPlane, organization, output }, _values, { project, cluster, reason }) {
    if (reason === undefined || reason === "")
      throw new UsageError("say why with --reason: everybody whose job waits for it sees it");
    if (cluster && project !== undefined) throw new UsageError("--cluster and --project exclude each other");
    const { queue } = await controlPlane();
    if (cluster) {
      await queue.pauseClusterQueue({ reason });
      await output.document(() => ({}), "the queue of the cluster is paused\n");
      return undefined;
    }
    const answer = await queue.pauseQueue({ organization, project: project ?? "", reason });
    const whose = project === undefined ? "the organization" : `project ${project}`;
    await output.done(queueSettingsView, required(answer.settings, "settings"), `the queue of ${whose} is paused`);
    return undefined;
  },
});
