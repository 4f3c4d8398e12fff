import { defineCommand } from "../command.ts";
import { limitOption } from "../option-sets.ts";
import { readPages } from "../pages.ts";
import { triggerView } from "../views/trigger.ts";

export const triggersList = defineCommand({
  path: ["triggers", "list"],
  summary: "Lists the triggers of an organization, or of one project",
  arguments: { project: { kind: "optional", help: "the project: id, name or start of an id" } },
  options: { limit: limitOption },
  examples: ["agynctl triggers list", "agynctl triggers list web -o wide"],
  async run({ controlPlane, organization, output }, { project = "" }, { limit }) {
    const { triggers } = await controlPlane();
    const found = await readPages(output, limit, async (page) => {
      const answer = await triggers.listTriggers({ organization, project, ...page });
      return { items: answer.triggers, nextPageToken: answer.nextPageToken };
    });
    await output.list(triggerView, found);
    return undefined;
  },
});
