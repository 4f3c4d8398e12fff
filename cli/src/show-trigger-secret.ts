import type { JsonValue } from "@bufbuild/protobuf";
import { Forge, type Trigger } from "../../proto/gen/agyn/triggers/v1/triggers_service_pb.ts";
import type { Context } from "./context.ts";
import { safe } from "./output.ts";

interface ShownSecret {
  readonly sentence: string;
  readonly trigger: Trigger;
  /** Empty for a schedule, which has none. */
  readonly secret: string;
  readonly json: () => JsonValue;
}

/** Shows a webhook's address and its new secret, once, and where they go. */
export async function showTriggerSecret({ output, credentials }: Context, shown: ShownSecret): Promise<void> {
  const { sentence, trigger, secret, json } = shown;
  if (output.format === "name") return output.line(safe(trigger.id));
  if (secret === "") return output.document(json, `${safe(sentence)}\n`);
  const { kind } = trigger.config ?? {};
  const forge = kind?.case === "webhook" ? kind.value.forge : Forge.GENERIC;
  const lines = [
    safe(sentence),
    `URL: ${safe(`${credentials().gateway.replace(/\/+$/, "")}${trigger.hookPath}`)}`,
    `secret, shown this once: ${safe(secret)}`,
    "",
    whereTo(forge),
  ];
  return output.document(json, `${lines.join("\n")}\n`);
}

const hasForm = "paste both; content type application/json; choose the events.";

function whereTo(forge: Forge): string {
  if (forge === Forge.GITLAB) {
    return "In the project: Settings, Webhooks, Add new webhook; paste the URL, and the secret as secret token; choose the events.";
  }
  const isGeneric = forge !== Forge.FORGEJO && forge !== Forge.GITEA && forge !== Forge.GITHUB;
  if (!isGeneric) {
    return `In the repository: Settings, Webhooks, Add webhook; ${hasForm}`;
  }
  return "Post JSON there, with X-Signature-256: sha256=<HMAC-SHA256 of the body by the secret, in lower-case hexadecimal>.";
}
