import { defineCommand } from "../command.ts";
import { limitOption } from "../option-sets.ts";
import { readPages } from "../pages.ts";
import { deliveryView } from "../views/trigger.ts";

export const triggersDeliveries = defineCommand({
  path: ["triggers", "deliveries"],
  summary: "Lists what came for a trigger, newest first, and what became of it",
  arguments: { trigger: { kind: "required", help: "the trigger: <project>/<name>, id or start of an id" } },
  options: { limit: limitOption },
  examples: ["agynctl triggers deliveries web/forgejo --limit 20"],
  async run({ controlPlane, organization, output }, { trigger }, { limit }) {
    const { triggers } = await controlPlane();
    const found = await readPages(output, limit, async (page) => {
      const answer = await triggers.listDeliveries({ trigger, organization, ...page });
      return { items: answer.deliveries, nextPageToken: answer.nextPageToken };
    });
    await output.list(deliveryView, found);
    return undefined;
  },
});
