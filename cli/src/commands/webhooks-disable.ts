import { defineCommand } from "../command.ts";
import { required } from "../required.ts";
import { webhookView } from "../views/webhook.ts";

export const webhooksDisable = defineCommand({
  path: ["webhooks", "disable"],
  summary: "Switches a webhook off: nothing is queued for it, and nothing is sent",
  arguments: { webhook: { kind: "required", help: "the webhook: name, id or start of an id" } },
  options: {},
  examples: ["agynctl webhooks disable chat"],
  async run({ controlPlane, organization, output }, { webhook }, _options) {
    const { webhooks } = await controlPlane();
    const answer = await webhooks.disableWebhook({ webhook, organization });
    const changed = required(answer.webhook, "webhook");
    await output.done(webhookView, changed, `webhook ${changed.name} is off`);
    return undefined;
  },
});
