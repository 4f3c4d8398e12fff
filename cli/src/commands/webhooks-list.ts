import { defineCommand } from "../command.ts";
import { limitOption } from "../option-sets.ts";
import { readPages } from "../pages.ts";
import { webhookView } from "../views/webhook.ts";

export const webhooksList = defineCommand({
  path: ["webhooks", "list"],
  summary: "Lists the webhooks of an organization, or of one project",
  arguments: { project: { kind: "optional", help: "the project: id, name or start of an id" } },
  options: { limit: limitOption },
  examples: ["agynctl webhooks list", "agynctl webhooks list web -o wide"],
  async run({ controlPlane, organization, output }, { project = "" }, { limit }) {
    const { webhooks } = await controlPlane();
    const found = await readPages(output, limit, async (page) => {
      const answer = await webhooks.listWebhooks({ organization, project, ...page });
      return { items: answer.webhooks, nextPageToken: answer.nextPageToken };
    });
    await output.list(webhookView, found);
    return undefined;
  },
});
