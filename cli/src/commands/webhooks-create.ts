import { CreateWebhookResponseSchema } from "../../../proto/gen/agyn/webhooks/v1/webhooks_service_pb.ts";
import { defineCommand } from "../command.ts";
import { webhookFilterOptions } from "../option-sets.ts";
import { required } from "../required.ts";
import { parsePairs } from "../requirements.ts";
import { showWebhookSecret } from "../show-webhook-secret.ts";
import { messageJson } from "../view.ts";

export const webhooksCreate = defineCommand({
  path: ["webhooks", "create"],
  summary: "Tells an address of what becomes of runs, jobs and runners; its secret is shown once",
  arguments: {
    name: { kind: "required", help: "unique in the organization" },
    url: { kind: "required", help: "where requests go, such as https://example.org/hook" },
  },
  options: {
    project: { kind: "text", placeholder: "project", help: "only of this project's runs and jobs" },
    ...webhookFilterOptions,
  },
  examples: [
    "agynctl webhooks create chat https://example.org/hook --event run.failed --event run.succeeded",
    "agynctl webhooks create ops https://example.org/hook --event 'runner.*' --label region=eu",
  ],
  async run(context, { name, url }, { project = "", event, label }) {
    const { webhooks } = await context.controlPlane();
    const { organization } = context;
    const filter = { events: [...event], labels: parsePairs("label", label) };
    const answer = await webhooks.createWebhook({ organization, project, name, url, ...filter });
    const webhook = required(answer.webhook, "webhook");
    await showWebhookSecret(context, {
      sentence: `created webhook ${webhook.name} (${webhook.id})`,
      webhook,
      secret: answer.secret,
      json: () => messageJson(CreateWebhookResponseSchema)(answer),
    });
    return undefined;
  },
});
