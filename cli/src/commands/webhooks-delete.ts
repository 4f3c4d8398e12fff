import { defineCommand } from "../command.ts";
import { confirm } from "../confirm.ts";
import { yesOption } from "../option-sets.ts";
import { required } from "../required.ts";
import { webhookView } from "../views/webhook.ts";

export const webhooksDelete = defineCommand({
  path: ["webhooks", "delete"],
  summary: "Deletes a webhook with its log of deliveries, and with what waits to be sent",
  arguments: { webhook: { kind: "required", help: "the webhook: name, id or start of an id" } },
  options: { yes: yesOption },
  examples: ["agynctl webhooks delete chat --yes"],
  async run(context, { webhook }, { yes }) {
    const { webhooks } = await context.controlPlane();
    const { organization, output } = context;
    const found = required((await webhooks.getWebhook({ webhook, organization })).webhook, "webhook");
    await confirm(context, `delete the webhook ${found.name}?`, yes);
    await webhooks.deleteWebhook({ webhook: found.id });
    await output.done(webhookView, found, `deleted webhook ${found.name} (${found.id})`);
    return undefined;
  },
});
