import { GetWebhookDeliveryResponseSchema } from "../../../proto/gen/agyn/webhooks/v1/webhooks_service_pb.ts";
import { defineCommand } from "../command.ts";
import { limitOption } from "../option-sets.ts";
import { safe } from "../output.ts";
import { readPages } from "../pages.ts";
import { messageJson } from "../view.ts";
import { webhookDeliveryView } from "../views/webhook.ts";

export const webhooksDeliveries = defineCommand({
  path: ["webhooks", "deliveries"],
  summary: "Lists what was sent to a webhook or waits to be, newest first; or shows what one of them carries",
  arguments: {
    webhook: { kind: "required", help: "the webhook: name, id or start of an id" },
    delivery: { kind: "optional", help: "the delivery's whole id: shows its body" },
  },
  options: { limit: limitOption },
  examples: ["agynctl webhooks deliveries chat --limit 20", "agynctl webhooks deliveries chat whd_k3q6aaaaaaaaaaaa"],
  async run({ controlPlane, organization, output }, { webhook, delivery }, { limit }) {
    const { webhooks } = await controlPlane();
    if (delivery !== undefined) {
      const answer = await webhooks.getWebhookDelivery({ webhook, organization, deliveryId: delivery });
      await output.document(() => messageJson(GetWebhookDeliveryResponseSchema)(answer), `${safe(answer.body)}\n`);
      return undefined;
    }
    const found = await readPages(output, limit, async (page) => {
      const answer = await webhooks.listWebhookDeliveries({ webhook, organization, ...page });
      return { items: answer.deliveries, nextPageToken: answer.nextPageToken };
    });
    await output.list(webhookDeliveryView, found);
    return undefined;
  },
});
