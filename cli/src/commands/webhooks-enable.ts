import { defineCommand } from "../command.ts";
import { required } from "../required.ts";
import { webhookView } from "../views/webhook.ts";

export const webhooksEnable = defineCommand({
  path: ["webhooks", "enable"],
  summary: "Switches a webhook on; what waited to be sent is sent",
  arguments: { webhook: { kind: "required", help: "the webhook: name, id or start of an id" } },
  options: {},
  examples: ["agynctl webhooks enable chat"],
  async run({ controlPlane, organization, output }, { webhook }, _options) {
    const { webhooks } = await controlPlane();
    const answer = await webhooks.enableWebhook({ webhook, organization });
    const changed = required(answer.webhook, "webhook");
    await output.done(webhookView, changed, `webhook ${changed.name} is on`);
    return undefined;
  },
});
