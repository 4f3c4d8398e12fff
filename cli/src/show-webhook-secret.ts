import type { JsonValue } from "@bufbuild/protobuf";
import type { Webhook } from "../../proto/gen/agyn/webhooks/v1/webhooks_service_pb.ts";
import type { Context } from "./context.ts";
import { safe } from "./output.ts";

interface ShownSecret {
  readonly sentence: string;
  readonly webhook: Webhook;
  readonly secret: string;
  readonly json: () => JsonValue;
}

/** Shows a webhook's new secret, once, and what it is for. */
export async function showWebhookSecret({ output }: Context, shown: ShownSecret): Promise<void> {
  const { sentence, webhook, secret, json } = shown;
  if (output.format === "name") return output.line(safe(webhook.id));
  const lines = [
    safe(sentence),
    `secret, shown this once: ${safe(secret)}`,
    "",
    "The receiver checks with it the headers webhook-id, webhook-timestamp and webhook-signature (standardwebhooks.com).",
  ];
  return output.document(json, `${lines.join("\n")}\n`);
}
