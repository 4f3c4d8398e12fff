import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  WebhookDeliveryState,
  type WebhookDeliverySchema,
  type WebhookSchema,
} from "../../../proto/gen/agyn/webhooks/v1/webhooks_service_pb.ts";
import type { WebhookDeliveryRow } from "../store/webhook-deliveries.ts";
import type { WebhookRow } from "../store/webhooks.ts";

const stateProtos: Record<WebhookDeliveryRow["state"], WebhookDeliveryState> = {
  waiting: WebhookDeliveryState.WAITING,
  delivered: WebhookDeliveryState.DELIVERED,
  failed: WebhookDeliveryState.FAILED,
};

/** Without its secrets; the end of the previous one is told while that still signs. */
export function toWebhookProto(row: WebhookRow, now: Date): MessageInitShape<typeof WebhookSchema> {
  const { id, organizationId, projectName, name, url, events, labels, enabled, disableReason, createdBy } = row;
  const { failingSince, lastError, waiting, dropped, previousSecretExpireTime: overlap } = row;
  return {
    ...{ id, organizationId, projectName, name, url, events, labels, enabled, disableReason, createdBy },
    ...{ lastError, waiting, dropped },
    projectId: row.projectId ?? "",
    ...(failingSince && { failingSince: timestampFromDate(failingSince) }),
    ...(overlap && overlap > now && { previousSecretExpireTime: timestampFromDate(overlap) }),
    createTime: timestampFromDate(row.createTime),
    updateTime: timestampFromDate(row.updateTime),
  };
}

/** The time of the next try is told only while there will be one. */
export function toWebhookDeliveryProto(row: WebhookDeliveryRow): MessageInitShape<typeof WebhookDeliverySchema> {
  const { id, webhookId, messageId, eventType, tries, statusCode, error, redeliveryOf } = row;
  return {
    ...{ id, webhookId, messageId, eventType, tries, statusCode, error, redeliveryOf },
    state: stateProtos[row.state],
    createTime: timestampFromDate(row.createTime),
    ...(row.tryTime && { tryTime: timestampFromDate(row.tryTime) }),
    ...(row.state === "waiting" && { nextTryTime: timestampFromDate(row.nextTryTime) }),
  };
}
