import { createId } from "../../../wire/ids.ts";
import { hearsEvent, webhookBody } from "../domain/webhook.ts";
import type { Sql } from "../store/database.ts";
import {
  insertWebhookDeliveries,
  takeWebhookEvents,
  type NewWebhookDelivery,
  type WebhookEvent,
} from "../store/webhook-deliveries.ts";
import { countDropped, listListeners, waitingLimit, type WebhookRow } from "../store/webhooks.ts";

/** Events of one transaction. */
const batchLimit = 500;

/** One turn of the loop that queues what happened for the webhooks that hear it: in one transaction, so that each event is queued once (I10). */
export function createWebhookQueuer(deps: { sql: Sql; onQueued: () => void; again: () => void }): () => Promise<void> {
  return async () => {
    const taken = await deps.sql.begin(async (transaction) => {
      const events = await takeWebhookEvents(transaction, batchLimit);
      if (events.length === 0) return { events: 0, deliveries: 0 };
      const organizations = [...new Set(events.map((one) => one.organizationId))];
      const hooks = await listListeners(transaction, organizations);
      const deliveries: NewWebhookDelivery[] = [];
      for (const hook of hooks) {
        const heard = events.filter((one) => one.organizationId === hook.organizationId && hearsEvent(hook, one));
        const room = Math.max(0, waitingLimit - hook.waiting);
        deliveries.push(...heard.slice(0, room).map((event) => deliveryOf(hook, event)));
        if (heard.length > room) await countDropped(transaction, hook.id, heard.length - room);
      }
      if (deliveries.length > 0) await insertWebhookDeliveries(transaction, deliveries);
      return { events: events.length, deliveries: deliveries.length };
    });
    if (taken.deliveries > 0) deps.onQueued();
    if (taken.events === batchLimit) deps.again();
  };
}

function deliveryOf({ id: webhookId }: WebhookRow, { type, time, data }: WebhookEvent): NewWebhookDelivery {
  const ids = { id: createId("webhookDelivery"), messageId: createId("webhookMessage") };
  return { ...ids, webhookId, eventType: type, body: webhookBody(type, time, data), redeliveryOf: "" };
}
