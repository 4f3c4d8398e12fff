import { defineCommand } from "../command.ts";
import { required } from "../required.ts";
import { webhookView } from "../views/webhook.ts";

export const webhooksGet = defineCommand({
  path: ["webhooks", "get"],
  summary: "Shows a webhook with its filters, and how it goes",
  arguments: { webhook: { kind: "required", help: "the webhook: name, id or start of an id" } },
  options: {},
  examples: ["agynctl webhooks get chat"],
  async run({ controlPlane, organization, output }, { webhook }, _options) {
    const { webhooks } = await controlPlane();
    const answer = await webhooks.getWebhook({ webhook, organization });
    await output.get(webhookView, required(answer.webhook, "webhook"));
    return undefined;
  },
});
