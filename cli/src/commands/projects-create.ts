import { defineCommand } from "../command.ts";
import { projectOptions } from "../option-sets.ts";
import { required } from "../required.ts";
import { projectView } from "../views/project.ts";

export const projectsCreate = defineCommand({
  path: ["projects", "create"],
  summary: "Creates a project: a name for a source whose pipelines are run",
  arguments: { name: { kind: "required", help: "its name, unique in the organization" } },
  options: projectOptions,
  examples: [
    "agynctl projects create web --source https://git.example.com/acme/web.git",
    "agynctl projects create nightly --source https://git.example.com/acme/web.git --ref release --max-running 2",
  ],
  async run({ controlPlane, organization, output }, { name }, options) {
    const { source = "", ref = "", weight = 0, maxRunning = 0, retentionDays = 0 } = options;
    const { projects } = await controlPlane();
    const answer = await projects.createProject({
      organization,
      name,
      sourceUrl: source,
      defaultRef: ref,
      weight,
      maximumRunningJobs: maxRunning,
      retentionDays,
    });
    const created = required(answer.project, "project");
    await output.done(projectView, created, `created project ${created.name} (${created.id})`);
    return undefined;
  },
});
