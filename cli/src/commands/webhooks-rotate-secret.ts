import { RotateWebhookSecretResponseSchema } from "../../../proto/gen/agyn/webhooks/v1/webhooks_service_pb.ts";
import { defineCommand } from "../command.ts";
import { confirm } from "../confirm.ts";
import { parseDuration, toProtoDuration } from "../durations.ts";
import { yesOption } from "../option-sets.ts";
import { required } from "../required.ts";
import { showWebhookSecret } from "../show-webhook-secret.ts";
import { messageJson } from "../view.ts";

export const webhooksRotateSecret = defineCommand({
  path: ["webhooks", "rotate-secret"],
  summary: "Gives a webhook a new secret, shown once; until the overlap is over requests are signed with both",
  arguments: { webhook: { kind: "required", help: "the webhook: name, id or start of an id" } },
  options: {
    overlap: {
      kind: "parsed",
      placeholder: "duration",
      parse: parseDuration,
      help: "for how long the secret before goes on signing too; 0s: not at all (default: 24h)",
    },
    yes: yesOption,
  },
  examples: ["agynctl webhooks rotate-secret chat --yes", "agynctl webhooks rotate-secret chat --overlap 0s"],
  async run(context, { webhook }, { overlap, yes }) {
    const { webhooks } = await context.controlPlane();
    const { organization } = context;
    const found = required((await webhooks.getWebhook({ webhook, organization })).webhook, "webhook");
    await confirm(context, `give ${found.name} a new secret?`, yes);
    const within = overlap === undefined ? {} : { overlap: toProtoDuration(overlap) };
    const answer = await webhooks.rotateWebhookSecret({ webhook: found.id, ...within });
    await showWebhookSecret(context, {
      sentence: `webhook ${found.name} has a new secret`,
      webhook: required(answer.webhook, "webhook"),
      secret: answer.secret,
      json: () => messageJson(RotateWebhookSecretResponseSchema)(answer),
    });
    return undefined;
  },
});
