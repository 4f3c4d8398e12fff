import { setTimeout as delay } from "node:timers/promises";
import { WebhookDeliveryState, type WebhookDelivery } from "../../../proto/gen/agyn/webhooks/v1/webhooks_service_pb.ts";
import { defineCommand } from "../command.ts";
import { required } from "../required.ts";
import { webhookDeliveryView } from "../views/webhook.ts";

/** Longer than the server waits for an answer. */
const patience_ms = 15_000;
const lookPeriod_ms = 200;

export const webhooksTest = defineCommand({
  path: ["webhooks", "test"],
  summary: "Sends a test event and says what the receiver answered; exits with 1 where it did not take it",
  arguments: { webhook: { kind: "required", help: "the webhook: name, id or start of an id" } },
  options: {},
  examples: ["agynctl webhooks test chat"],
  async run({ controlPlane, organization, output, terminal }, { webhook }, _options) {
    const { webhooks } = await controlPlane();
    let delivery = required((await webhooks.testWebhook({ webhook, organization })).delivery, "delivery");
    const { webhookId, id: deliveryId } = delivery;
    for (let waited_ms = 0; delivery.tries === 0 && waited_ms < patience_ms; waited_ms += lookPeriod_ms) {
      await delay(lookPeriod_ms, undefined, { signal: terminal.signal });
      const answer = await webhooks.getWebhookDelivery({ webhook: webhookId, deliveryId });
      delivery = required(answer.delivery, "delivery");
    }
    await output.done(webhookDeliveryView, delivery, `delivery ${delivery.id}: ${outcomeOf(delivery)}`);
    return delivery.state === WebhookDeliveryState.DELIVERED ? undefined : 1;
  },
});

function outcomeOf({ state, statusCode, error, tries }: WebhookDelivery): string {
  if (state === WebhookDeliveryState.DELIVERED) return `the receiver answered ${statusCode}`;
  return tries === 0 ? "it waits to be sent: others are before it, or the receiver has failed lately" : error;
}
