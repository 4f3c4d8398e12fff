import { defineCommand } from "../command.ts";
import { confirm } from "../confirm.ts";
import { yesOption } from "../option-sets.ts";
import { required } from "../required.ts";
import { projectView } from "../views/project.ts";

export const projectsDelete = defineCommand({
  path: ["projects", "delete"],
  summary: "Deletes a project that has no live runs; its ended runs stay until they are swept",
  arguments: { project: { kind: "required", help: "the project: id, name or start of an id" } },
  options: { yes: yesOption },
  examples: ["agynctl projects delete web --yes"],
  async run(context, { project }, { yes }) {
    const { organization } = context;
    const { projects } = await context.controlPlane();
    // The answer is empty: what it was called is asked before it is gone.
    const found = required((await projects.getProject({ project, organization })).project, "project");
    await confirm(context, `delete the project ${found.name}?`, yes);
    await projects.deleteProject({ project: found.id, organization: found.organizationId });
    await context.output.done(projectView, found, `deleted project ${found.name} (${found.id})`);
    return undefined;
  },
});
