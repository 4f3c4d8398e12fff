import {
  WebhookDeliverySchema,
  WebhookDeliveryState,
  WebhookDeliveryStateSchema,
  WebhookSchema,
  type Webhook,
  type WebhookDelivery,
} from "../../../proto/gen/agyn/webhooks/v1/webhooks_service_pb.ts";
import type { Tone } from "../terminal.ts";
import { age, enumWord, instant, messageJson, pairs, type View } from "../view.ts";

export const webhookView: View<Webhook> = {
  noun: "webhooks",
  id: ({ id }) => id,
  toJson: messageJson(WebhookSchema),
  columns: [
    { header: "NAME", value: ({ name }) => name },
    { header: "ID", value: ({ id }) => id },
    { header: "STATE", value: stateWord, tone: stateTone },
    { header: "PROJECT", value: ({ projectName }) => projectName || "-" },
    { header: "EVENTS", value: ({ events }) => events.join(", ") || "all" },
    { header: "WAITING", value: ({ waiting }) => String(waiting) },
    { header: "AGE", value: ({ createTime }, now) => age(createTime, now) },
    { header: "URL", value: ({ url }) => url, isWide: true },
    { header: "LABELS", value: ({ labels }) => pairs(labels), isWide: true },
  ],
  details: (webhook) => [
    ["webhook", webhook.name],
    ["id", webhook.id],
    ["url", webhook.url],
    ["state", stateWord(webhook)],
    ["reason", webhook.disableReason],
    ["project", webhook.projectName],
    ["events", webhook.events.join(", ") || "all"],
    ["labels", pairs(webhook.labels)],
    ["waiting", String(webhook.waiting)],
    ["dropped", webhook.dropped === 0n ? "" : String(webhook.dropped)],
    ["failing since", instant(webhook.failingSince)],
    ["last error", webhook.lastError],
    ["old secret until", instant(webhook.previousSecretExpireTime)],
    ["created", instant(webhook.createTime)],
    ["updated", instant(webhook.updateTime)],
  ],
};

function stateWord({ enabled, failingSince }: Webhook): string {
  if (!enabled) return "off";
  return failingSince === undefined ? "on" : "failing";
}

function stateTone(webhook: Webhook): Tone {
  return ({ off: "dim", on: "good", failing: "bad" } as const)[stateWord(webhook) as "off" | "on" | "failing"];
}

export const webhookDeliveryView: View<WebhookDelivery> = {
  noun: "deliveries",
  id: ({ id }) => id,
  toJson: messageJson(WebhookDeliverySchema),
  columns: [
    { header: "TIME", value: ({ createTime }) => instant(createTime) },
    { header: "ID", value: ({ id }) => id },
    { header: "EVENT", value: ({ eventType }) => eventType },
    {
      header: "STATE",
      value: ({ state }) => enumWord(WebhookDeliveryStateSchema, state),
      tone: ({ state }) =>
        ({ [WebhookDeliveryState.DELIVERED]: "good", [WebhookDeliveryState.FAILED]: "bad" } as const)[state as number],
    },
    { header: "TRIES", value: ({ tries }) => String(tries) },
    { header: "ANSWER", value: ({ statusCode }) => (statusCode === 0 ? "-" : String(statusCode)) },
    { header: "ERROR", value: ({ error }) => error },
    { header: "NEXT TRY", value: ({ nextTryTime }) => instant(nextTryTime), isWide: true },
    { header: "WEBHOOK-ID", value: ({ messageId }) => messageId, isWide: true },
    { header: "AGAIN OF", value: ({ redeliveryOf }) => redeliveryOf, isWide: true },
  ],
  details: () => [],
};
