import { defineCommand } from "../command.ts";
import { limitOption } from "../option-sets.ts";
import { readPages } from "../pages.ts";
import { projectView } from "../views/project.ts";

export const projectsList = defineCommand({
  path: ["projects", "list"],
  summary: "Lists the projects of an organization",
  arguments: {},
  options: { limit: limitOption },
  examples: ["agynctl projects list", "agynctl projects list -o json"],
  async run({ controlPlane, organization, output }, _values, { limit }) {
    const { projects } = await controlPlane();
    const found = await readPages(output, limit, async (page) => {
      const answer = await projects.listProjects({ organization, ...page });
      return { items: answer.projects, nextPageToken: answer.nextPageToken };
    });
    await output.list(projectView, found);
    return undefined;
  },
});
