import type { Logger } from "pino";
import { decideDelivery, type DeliveryPolicy, type Sent } from "../domain/webhook.ts";
import type { MasterKey } from "../identity/master-key.ts";
import { openWebhookKey } from "../identity/webhook-key.ts";
import type { OutgoingAnswer, OutgoingRequest } from "../outgoing/safe-request.ts";
import { signatureHeaders } from "../outgoing/sign-webhook.ts";
import { insertAuditEvent } from "../store/audit-events.ts";
import type { Sql } from "../store/database.ts";
import { claimWebhookDeliveries, settleWebhookDelivery, type DueDelivery } from "../store/webhook-deliveries.ts";
import { disableWebhook } from "../store/webhooks.ts";
import { createHands } from "./hands.ts";

export type WebhookSenderDeps = {
  sql: Sql;
  masterKey: MasterKey;
  log: Logger;
  policy: DeliveryPolicy;
  /** Throws where the request cannot be sent, or is not answered in its time. */
  send: (request: OutgoingRequest) => Promise<OutgoingAnswer>;
  /** Hands are free again. */
  signal: () => void;
};

export type WebhookSender = {
  /** One turn of the loop (I10): takes what is due, as far as there are hands. What it took goes on after it. */
  run: () => Promise<void>;
  /** Waits for what is under way, no longer than the grace: what is left is sent again once its lease is over. */
  stop: (grace_ms: number) => Promise<void>;
};

/** Requests of one replica at once; one of each webhook, and so many of each organization, so that none takes all hands (I13). */
const senders = 64;
const organizationSenders = 16;
/** Longer than any request may take. */
const lease_ms = 60_000;
/** What is kept of an error. */
const errorLimit = 500;

/** Sends what is queued for webhooks. No transaction is open while a request is. */
export function createWebhookSender(deps: WebhookSenderDeps): WebhookSender {
  const { sql, log } = deps;
  const hands = createHands(senders, deps.signal);
  const sendOne = async (due: DueDelivery) => {
    try {
      await settle(deps, due, await request(deps, due));
    } catch (error) {
      log.error({ err: error, webhook_id: due.webhookId, delivery_id: due.id }, "a webhook's delivery was not settled");
    }
  };
  return {
    async run() {
      if (hands.free === 0) return;
      const claim = { limit: hands.free, organizationLimit: organizationSenders, underWay: hands.underWay(), lease_ms };
      for (const due of await claimWebhookDeliveries(sql, claim)) hands.begin(due.organizationId, () => sendOne(due));
    },
    stop: hands.stop,
  };
}

async function request({ masterKey, send }: WebhookSenderDeps, due: DueDelivery): Promise<Sent> {
  const { webhookId, sealedSecret, sealedPreviousSecret, messageId, body, url } = due;
  const sealed = sealedPreviousSecret ? [sealedSecret, sealedPreviousSecret] : [sealedSecret];
  const keys = sealed.map((one) => openWebhookKey(webhookId, one, masterKey));
  const message = { id: messageId, timestamp_s: Math.floor(Date.now() / 1000), body };
  const headers = {
    "content-type": "application/json",
    "user-agent": "agyn",
    ...signatureHeaders(message, keys),
  };
  try {
    return { status: (await send({ method: "POST", url, headers, body })).status };
  } catch (error) {
    return { error: (error instanceof Error ? error.message : String(error)).slice(0, errorLimit) };
  }
}

async function settle({ sql, policy }: WebhookSenderDeps, due: DueDelivery, sent: Sent): Promise<void> {
  const outcome = decideDelivery(sent, due, policy);
  const reason = outcome.state === "delivered" ? undefined : outcome.disableReason;
  await sql.begin(async (transaction) => {
    await settleWebhookDelivery(transaction, due, outcome);
    if (reason === undefined || !(await disableWebhook(transaction, due.webhookId, reason))) return;
    await insertAuditEvent(transaction, {
      scope: { kind: "organization", organizationId: due.organizationId },
      ...{ actor: "server", action: "webhook.disable", objectId: due.webhookId, objectName: due.name, outcome: "ok" },
      details: { reason },
    });
  });
}
