import { defineCommand } from "../command.ts";
import { UsageError } from "../failures.ts";
import { webhookFilterOptions } from "../option-sets.ts";
import { required } from "../required.ts";
import { parsePairs } from "../requirements.ts";
import { webhookView } from "../views/webhook.ts";

export const webhooksUpdate = defineCommand({
  path: ["webhooks", "update"],
  summary: "Changes a webhook's name, address or filters; what waits goes to the new address",
  arguments: { webhook: { kind: "required", help: "the webhook: name, id or start of an id" } },
  options: {
    name: { kind: "text", placeholder: "name", help: "new name" },
    url: { kind: "text", placeholder: "url", help: "new address" },
    ...webhookFilterOptions,
    allEvents: { kind: "flag", help: "of every type of event again" },
    anyLabels: { kind: "flag", help: "whatever the labels are again" },
  },
  examples: ["agynctl webhooks update chat --event run.failed", "agynctl webhooks update chat --all-events"],
  async run({ controlPlane, organization, output }, { webhook }, options) {
    const { name, url, event, label, allEvents, anyLabels } = options;
    const isGiven = {
      name: name !== undefined,
      url: url !== undefined,
      events: event.length > 0 || allEvents,
      labels: label.length > 0 || anyLabels,
    };
    const paths = Object.entries(isGiven).flatMap(([path, given]) => (given ? [path] : []));
    if (paths.length === 0) throw new UsageError("nothing is to change: give --name, --url, --event or --label");
    if ((allEvents && event.length > 0) || (anyLabels && label.length > 0))
      throw new UsageError("--all-events goes without --event, and --any-labels without --label");
    const { webhooks } = await controlPlane();
    const filter = { events: [...event], labels: parsePairs("label", label) };
    const settings = { name: name ?? "", url: url ?? "", ...filter };
    const answer = await webhooks.updateWebhook({ webhook, organization, updateMask: { paths }, ...settings });
    const changed = required(answer.webhook, "webhook");
    await output.done(webhookView, changed, `updated webhook ${changed.name}: ${paths.join(", ")}`);
    return undefined;
  },
});
