import { defineCommand } from "../command.ts";
import { required } from "../required.ts";
import { projectView } from "../views/project.ts";

export const projectsGet = defineCommand({
  path: ["projects", "get"],
  summary: "Shows one project",
  arguments: { project: { kind: "required", help: "the project: id, name or start of an id" } },
  options: {},
  examples: ["agynctl projects get web"],
  async run({ controlPlane, organization, output }, { project }) {
    const { projects } = await controlPlane();
    const answer = await projects.getProject({ project, organization });
    await output.get(projectView, required(answer.project, "project"));
    return undefined;
  },
});
