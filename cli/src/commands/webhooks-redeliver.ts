import { defineCommand } from "../command.ts";
import { required } from "../required.ts";
import { webhookDeliveryView } from "../views/webhook.ts";

export const webhooksRedeliver = defineCommand({
  path: ["webhooks", "redeliver"],
  summary: "Sends what a delivery carried once more, under the same webhook-id",
  arguments: {
    webhook: { kind: "required", help: "the webhook: name, id or start of an id" },
    delivery: { kind: "required", help: "the delivery's whole id" },
  },
  options: {},
  examples: ["agynctl webhooks redeliver chat whd_k3q6aaaaaaaaaaaa"],
  async run({ controlPlane, organization, output }, { webhook, delivery }, _options) {
    const { webhooks } = await controlPlane();
    const answer = await webhooks.redeliverWebhook({ webhook, organization, deliveryId: delivery });
    const made = required(answer.delivery, "delivery");
    await output.done(webhookDeliveryView, made, `delivery ${made.id} repeats ${made.redeliveryOf}`);
    return undefined;
  },
});
