import { durationMs } from "@bufbuild/protobuf/wkt";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type { WebhooksService } from "../../../proto/gen/agyn/webhooks/v1/webhooks_service_pb.ts";
import { createId } from "../../../wire/ids.ts";
import { AgynError, invalidField, notFound } from "../domain/errors.ts";
import { eventTypes, unknownPatterns, webhookBody } from "../domain/webhook.ts";
import type { MasterKey } from "../identity/master-key.ts";
import { createWebhookKey } from "../identity/webhook-key.ts";
import { toSecretText } from "../outgoing/sign-webhook.ts";
import { insertAuditEvent } from "../store/audit-events.ts";
import type { Sql, SqlOrTransaction } from "../store/database.ts";
import { toPage } from "../store/paging.ts";
import { getWebhookDelivery, insertWebhookDeliveries, listWebhookDeliveries } from "../store/webhook-deliveries.ts";
import * as webhooks from "../store/webhooks.ts";
import { auditOf } from "./audit.ts";
import { targetOf, userOf } from "./context.ts";
import { refuseIdAsName } from "./names.ts";
import { resolveProjectOf } from "./references.ts";
import { maskedFields } from "./update-mask.ts";
import { toWebhookDeliveryProto, toWebhookProto } from "./webhook-proto.ts";

export type WebhooksDeps = {
  sql: Sql;
  masterKey: MasterKey;
  /** Also addresses of this machine and of private networks, and without TLS. */
  allowPrivate: boolean;
  /** Something may be due to be sent. */
  onChanged: () => void;
};

/** Of one organization. */
export const maximumWebhooks = 100;
const defaultOverlap_ms = 86_400_000;
const testType = "webhook.test";

/** The contract's name of each field that an update may change. */
const fields = {
  name: "name",
  url: "url",
  events: "events",
  labels: "labels",
} as const satisfies Record<string, keyof webhooks.WebhookSettings>;

/** Webhooks and their deliveries; secrets are shown once, when they are made. */
export function createWebhooksService(deps: WebhooksDeps): ServiceImpl<typeof WebhooksService> {
  const { sql, masterKey, onChanged } = deps;

  const present = async (id: string, reference: string) => {
    const row = await webhooks.getWebhook(sql, id);
    if (!row) throw notFound("webhook", reference);
    return { webhook: toWebhookProto(row, new Date()) };
  };
  /** Changes a webhook, and says so in the audit, in one transaction. */
  const change = async (
    context: HandlerContext,
    { action, details }: { action: string; details?: Record<string, string> },
    write: (transaction: SqlOrTransaction, webhook: webhooks.WebhookRow) => Promise<unknown>,
  ) => {
    const { webhook } = targetOf(context, "webhook");
    await sql.begin(async (transaction) => {
      await write(transaction, webhook);
      const event = { ...about(webhook), action: `webhook.${action}`, ...(details && { details }) };
      await insertAuditEvent(transaction, auditOf(context, event));
    });
    onChanged();
    return webhook;
  };
  const refuseSettings = ({ name, url, events }: Partial<webhooks.WebhookSettings>): void => {
    if (name !== undefined) refuseIdAsName("webhook", name);
    if (url !== undefined) refuseUrl(url, deps.allowPrivate);
    if (events !== undefined) refuseUnknown(events);
  };

  return {
    async createWebhook(request, context) {
      const { organization } = targetOf(context, "organization");
      const caller = userOf(context);
      const project = await resolveProjectOf(sql, caller, request.project, organization.id);
      const settings = settingsOf(request);
      refuseSettings(settings);
      const id = createId("webhook");
      const { key, sealed } = createWebhookKey(id, masterKey);
      const row = await sql.begin(async (transaction) => {
        const of = { organizationId: organization.id, projectId: project?.id ?? null, createdBy: caller.userId };
        const made = { id, ...of, ...settings, sealedSecret: sealed };
        const inserted = await webhooks.insertWebhook(transaction, made, maximumWebhooks);
        if (!inserted) throw new AgynError("LIMIT", `the organization has ${maximumWebhooks} webhooks already`);
        await insertAuditEvent(transaction, auditOf(context, { ...about(inserted), action: "webhook.create" }));
        return inserted;
      });
      return { webhook: toWebhookProto(row, new Date()), secret: toSecretText(key) };
    },

    getWebhook(_request, context) {
      return { webhook: toWebhookProto(targetOf(context, "webhook").webhook, new Date()) };
    },

    async listWebhooks(request, context) {
      const { organization } = targetOf(context, "organization");
      const caller = userOf(context);
      const project = await resolveProjectOf(sql, caller, request.project, organization.id);
      const of = { organizationId: organization.id, projectId: project?.id ?? "" };
      const { rows, nextToken } = await webhooks.listWebhooks(sql, of, toPage(request));
      const now = new Date();
      return { webhooks: rows.map((row) => toWebhookProto(row, now)), nextPageToken: nextToken };
    },

    async updateWebhook(request, context) {
      const settings = maskedFields(request, fields);
      refuseSettings(settings);
      if (settings.name === "") throw invalidField("name", "it must not be empty");
      const details = { fields: request.updateMask!.paths.join(" ") };
      const { id } = await change(context, { action: "update", details }, (transaction, webhook) =>
        webhooks.updateWebhook(transaction, webhook.id, settings),
      );
      return present(id, request.webhook);
    },

    async enableWebhook(request, context) {
      const { id } = await change(context, { action: "enable" }, (transaction, webhook) =>
        webhooks.enableWebhook(transaction, webhook.id),
      );
      return present(id, request.webhook);
    },

    async disableWebhook(request, context) {
      const { id } = await change(context, { action: "disable" }, (transaction, webhook) =>
        webhooks.disableWebhook(transaction, webhook.id, ""),
      );
      return present(id, request.webhook);
    },

    async deleteWebhook(_request, context) {
      await change(context, { action: "delete" }, (transaction, webhook) =>
        webhooks.deleteWebhook(transaction, webhook.id),
      );
      return {};
    },

    async rotateWebhookSecret(request, context) {
      const { webhook } = targetOf(context, "webhook");
      const { key, sealed } = createWebhookKey(webhook.id, masterKey);
      const overlap_ms = request.overlap ? durationMs(request.overlap) : defaultOverlap_ms;
      await change(context, { action: "rotate_secret" }, (transaction) =>
        webhooks.replaceWebhookSecret(transaction, webhook.id, { sealed, overlap_ms }),
      );
      return { ...(await present(webhook.id, request.webhook)), secret: toSecretText(key) };
    },

    async testWebhook(_request, context) {
      const { webhook } = targetOf(context, "webhook");
      const { id, organizationId, name } = webhook;
      const body = webhookBody(testType, new Date(), { organizationId, webhook: { id, name } });
      const message = { messageId: createId("webhookMessage"), eventType: testType, body };
      return queue(context, webhook, { action: "test", message: { ...message, redeliveryOf: "" } });
    },

    async listWebhookDeliveries(request, context) {
      const { webhook } = targetOf(context, "webhook");
      const { rows, nextToken } = await listWebhookDeliveries(sql, webhook.id, toPage(request));
      return { deliveries: rows.map(toWebhookDeliveryProto), nextPageToken: nextToken };
    },

    async getWebhookDelivery(request, context) {
      const { body, ...row } = await findDelivery(context, request.deliveryId);
      return { delivery: toWebhookDeliveryProto(row), body };
    },

    async redeliverWebhook(request, context) {
      const { webhook } = targetOf(context, "webhook");
      const { id: redeliveryOf, messageId, eventType, body } = await findDelivery(context, request.deliveryId);
      return queue(context, webhook, { action: "redeliver", message: { messageId, eventType, body, redeliveryOf } });
    },
  };

  async function findDelivery(context: HandlerContext, id: string) {
    const { webhook } = targetOf(context, "webhook");
    const found = await getWebhookDelivery(sql, { webhookId: webhook.id, id });
    if (!found) throw notFound("delivery", id);
    return found;
  }

  /** Queues what somebody asked for. */
  async function queue(
    context: HandlerContext,
    { enabled, name, waiting }: webhooks.WebhookRow,
    { action, message }: { action: string; message: Message },
  ) {
    if (!enabled) throw new AgynError("STATE", `webhook ${name} is off: switch it on first`);
    if (waiting >= webhooks.waitingLimit) throw new AgynError("LIMIT", `${waiting} deliveries of ${name} wait already`);
    const id = createId("webhookDelivery");
    await change(context, { action, details: { delivery_id: id } }, (transaction, webhook) =>
      insertWebhookDeliveries(transaction, [{ id, webhookId: webhook.id, ...message }]),
    );
    return { delivery: toWebhookDeliveryProto(await findDelivery(context, id)) };
  }
}

type Message = { messageId: string; eventType: string; body: string; redeliveryOf: string };

function settingsOf({ name, url, events, labels }: webhooks.WebhookSettings): webhooks.WebhookSettings {
  return { name, url, events, labels };
}

/** An address is shown to every owner, and what goes there must not cross the network in clear. */
function refuseUrl(text: string, allowPrivate: boolean): void {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url) throw invalidField("url", "it is no URL such as https://example.org/hook");
  if (url.username !== "" || url.password !== "") {
    throw invalidField("url", "it must hold no user and no password: requests show by their signature who sends them");
  }
  if (url.protocol !== "https:" && !allowPrivate) {
    throw invalidField("url", "it must begin with https:// (where the server has outgoing_private, http:// may be)");
  }
}

function refuseUnknown(events: readonly string[]): void {
  const unknown = unknownPatterns(events);
  if (unknown.length === 0) return;
  throw invalidField("events", `no event fits "${unknown[0]}"; there are ${eventTypes.join(", ")}`);
}

function about({ id, name, organizationId }: webhooks.WebhookRow) {
  return { scope: { kind: "organization" as const, organizationId }, objectId: id, objectName: name };
}
