import { defineCommand } from "../command.ts";
import { UsageError } from "../failures.ts";
import { projectOptions } from "../option-sets.ts";
import { required } from "../required.ts";
import { projectView } from "../views/project.ts";

export const projectsUpdate = defineCommand({
  path: ["projects", "update"],
  summary: "Changes a project's name, source or bounds, with jobs waiting or not",
  arguments: { project: { kind: "required", help: "the project: id, name or start of an id" } },
  options: { name: { kind: "text", placeholder: "name", help: "new name" }, ...projectOptions },
  examples: ["agynctl projects update web --max-running 4", "agynctl projects update web --ref main --weight 3"],
  async run({ controlPlane, organization, output }, { project }, options) {
    const { name, source, ref, weight, maxRunning, retentionDays } = options;
    const given: Readonly<Record<string, unknown>> = {
      name,
      source_url: source,
      default_ref: ref,
      weight,
      maximum_running_jobs: maxRunning,
      retention_days: retentionDays,
    };
    const paths = Object.keys(given).filter((path) => given[path] !== undefined);
    if (paths.length === 0) throw new UsageError("nothing is to change: give --source, --ref, --weight or another");
    const { projects } = await controlPlane();
    const answer = await projects.updateProject({
      project,
      organization,
      updateMask: { paths },
      name: name ?? "",
      sourceUrl: source ?? "",
      defaultRef: ref ?? "",
      weight: weight ?? 0,
      maximumRunningJobs: maxRunning ?? 0,
      retentionDays: retentionDays ?? 0,
    });
    const changed = required(answer.project, "project");
    await output.done(projectView, changed, `updated project ${changed.name}: ${paths.join(", ")}`);
    return undefined;
  },
});
