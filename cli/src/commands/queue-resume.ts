import { defineCommand } from "../command.ts";
import { UsageError } from "../failures.ts";
import { required } from "../required.ts";
import { queueSettingsView } from "../views/queue.ts";

export const queueResume = defineCommand({
  path: ["queue", "resume"],
  summary: "Ends a pause of the queue of an organization, a project or the cluster",
  arguments: {},
  options: {
    project: { kind: "text", placeholder: "project", help: "only of this project" },
    cluster: { kind: "flag", help: "of all organizations" },
  },
  examples: ["agynctl queue resume --project web", "agynctl queue resume --cluster"],
  async run({ controlPlane, organization, output }, _values, { project, cluster }) {
    if (cluster && project !== undefined) throw new UsageError("--cluster and --project exclude each other");
    const { queue } = await controlPlane();
    if (cluster) {
      await queue.resumeClusterQueue({});
      await output.document(() => ({}), "the queue of the cluster goes on\n");
      return undefined;
    }
    const answer = await queue.resumeQueue({ organization, project: project ?? "" });
    const whose = project === undefined ? "the organization" : `project ${project}`;
    await output.done(queueSettingsView, required(answer.settings, "settings"), `the queue of ${whose} goes on`);
    return undefined;
  },
});
