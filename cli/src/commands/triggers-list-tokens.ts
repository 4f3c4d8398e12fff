import { defineCommand } from "../command.ts";
import { limitOption } from "../option-sets.ts";
import { readPages } from "../pages.ts";
import { triggerTokenView } from "../views/trigger.ts";

export const triggersListTokens = defineCommand({
  path: ["triggers", "list-tokens"],
  summary: "Lists the trigger tokens of a project, newest first",
  arguments: { project: { kind: "required", help: "the project: id, name or start of an id" } },
  options: { limit: limitOption },
  examples: ["agynctl triggers list-tokens web"],
  async run({ controlPlane, organization, output }, { project }, { limit }) {
    const { triggers } = await controlPlane();
    const found = await readPages(output, limit, async (page) => {
      const answer = await triggers.listTriggerTokens({ project, organization, ...page });
      return { items: answer.triggerTokens, nextPageToken: answer.nextPageToken };
    });
    await output.list(triggerTokenView, found);
    return undefined;
  },
});
