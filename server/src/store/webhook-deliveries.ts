import type { DeliveryOutcome, EventFacts } from "../domain/webhook.ts";
import type { SqlOrTransaction } from "./database.ts";
import { cut, decodeCursor, type Page } from "./paging.ts";

export type WebhookDeliveryState = "waiting" | "delivered" | "failed";

/** One event on its way to one webhook. */
export type WebhookDeliveryRow = {
  key: bigint;
  id: string;
  webhookId: string;
  messageId: string;
  eventType: string;
  state: WebhookDeliveryState;
  tries: number;
  statusCode: number;
  error: string;
  redeliveryOf: string;
  createTime: Date;
  tryTime: Date | null;
  nextTryTime: Date;
};

/** With what is sent. */
export type WholeWebhookDelivery = WebhookDeliveryRow & { body: string };

export type NewWebhookDelivery = Pick<
  WholeWebhookDelivery,
  "id" | "webhookId" | "messageId" | "eventType" | "body" | "redeliveryOf"
>;

/** What happened, not yet queued for anybody. */
export type WebhookEvent = EventFacts & { key: bigint; organizationId: string; data: unknown; time: Date };

/** A delivery that is to be sent now, and what of its webhook that needs. */
export type DueDelivery = Pick<WholeWebhookDelivery, "key" | "id" | "messageId" | "eventType" | "body" | "tries"> & {
  webhookId: string;
  organizationId: string;
  name: string;
  url: string;
  sealedSecret: Uint8Array;
  /** While it signs too. */
  sealedPreviousSecret: Uint8Array | null;
  failures: number;
  /** Since when nothing was taken, in ms. */
  failing_ms: number;
};

const columns = (sql: SqlOrTransaction) => sql`
  key, id, webhook_id as "webhookId", message_id as "messageId", event_type as "eventType", state, tries,
  status_code as "statusCode", error, redelivery_of as "redeliveryOf", create_time as "createTime", try_time as "tryTime",
  next_try_time as "nextTryTime"`;

/** Takes the oldest events out, in the order in which they happened: in the transaction that queues them they are gone. */
export async function takeWebhookEvents(sql: SqlOrTransaction, limit: number): Promise<WebhookEvent[]> {
  return sql<WebhookEvent[]>`
    with taken as (
      delete from webhook_event where key in (
        select key from webhook_event order by key limit ${limit} for update skip locked) returning *
    )
    select key, organization_id as "organizationId", project_id as "projectId", type, labels, data, time from taken order by key`;
}

/** Queues them to be sent at once, in one statement; the rows come in no order. */
export async function insertWebhookDeliveries(
  sql: SqlOrTransaction,
  deliveries: readonly NewWebhookDelivery[],
): Promise<WebhookDeliveryRow[]> {
  return sql<WebhookDeliveryRow[]>`
    insert into webhook_delivery (id, webhook_id, message_id, event_type, body, redelivery_of)
    select i.* from jsonb_to_recordset(${sql.json(deliveries)}) as i ("id" text, "webhookId" text, "messageId" text,
      "eventType" text, "body" text, "redeliveryOf" text)
    returning ${columns(sql)}`;
}

export type ClaimLimits = {
  limit: number;
  /** At once of one organization, together with what is under way. */
  organizationLimit: number;
  /** Organization → how many of its are under way here. */
  underWay: Readonly<Record<string, number>>;
  /** Whoever takes one has so long for it; then another may. */
  lease_ms: number;
};

/** The oldest delivery that is due of each webhook that is due: one at a time, so that a webhook that is slow holds up itself alone (I13). */
export async function claimWebhookDeliveries(
  sql: SqlOrTransaction,
  { limit, organizationLimit, underWay, lease_ms }: ClaimLimits,
): Promise<DueDelivery[]> {
  return sql<DueDelivery[]>`
    with due as (
      select id, organization_id, next_send_time,
        row_number() over (partition by organization_id order by next_send_time, id)
          + coalesce((${sql.json(underWay)}::jsonb ->> organization_id)::int, 0) as place
      from webhook w where enabled and next_send_time <= now() and exists (
        select from webhook_delivery d where d.webhook_id = w.id and d.state = 'waiting' and d.next_try_time <= now())
    ), chosen as (
      select w.id from webhook w join due on due.id = w.id
      where due.place <= ${organizationLimit} and w.enabled and w.next_send_time <= now()
      order by due.next_send_time limit ${limit} for update of w skip locked
    ), held as (
      update webhook w set next_send_time = now() + ${lease_ms}::float8 * interval '1 millisecond'
      from chosen where w.id = chosen.id returning w.*
    )
    select d.key, d.id, d.message_id as "messageId", d.event_type as "eventType", d.body, d.tries, held.id as "webhookId",
      held.organization_id as "organizationId", held.name, held.url, held.secret as "sealedSecret",
      case when held.previous_secret_expire_time > now() then held.previous_secret end as "sealedPreviousSecret", held.failures,
      coalesce(extract(epoch from now() - held.failing_since) * 1000, 0)::float8 as "failing_ms"
    from held cross join lateral (
      select * from webhook_delivery
      where webhook_id = held.id and state = 'waiting' and next_try_time <= now() order by key limit 1) d`;
}

/** Writes what a request came to, and gives the webhook free; what somebody settled before stays as it is. */
export async function settleWebhookDelivery(
  sql: SqlOrTransaction,
  { key, webhookId }: Pick<DueDelivery, "key" | "webhookId">,
  outcome: DeliveryOutcome,
): Promise<void> {
  const isTaken = outcome.state === "delivered";
  const error = isTaken ? "" : outcome.error;
  const [wait_ms, hold_ms] = isTaken ? [0, 0] : [outcome.wait_ms, outcome.hold_ms];
  await sql`
    with settled as (
      update webhook_delivery set state = ${outcome.state}, tries = tries + 1, status_code = ${outcome.status}, error = ${error},
        try_time = now(), next_try_time = now() + ${wait_ms}::float8 * interval '1 millisecond'
      where key = ${key} and state = 'waiting'
    )
    update webhook set next_send_time = now() + ${hold_ms}::float8 * interval '1 millisecond',
      failures = case when ${isTaken} then 0 else failures + 1 end,
      failing_since = case when ${isTaken} then null else coalesce(failing_since, now()) end, last_error = ${error}
    where id = ${webhookId}`;
}

/** A delivery of a webhook, with its body. */
export async function getWebhookDelivery(
  sql: SqlOrTransaction,
  { webhookId, id }: { webhookId: string; id: string },
): Promise<WholeWebhookDelivery | undefined> {
  const [row] = await sql<WholeWebhookDelivery[]>`
    select ${columns(sql)}, body from webhook_delivery where webhook_id = ${webhookId} and id = ${id}`;
  return row;
}

/** Newest first. */
export async function listWebhookDeliveries(sql: SqlOrTransaction, webhookId: string, page: Page) {
  const before = decodeCursor(page.token, "webhook_delivery");
  const rows = await sql<WebhookDeliveryRow[]>`
    select ${columns(sql)} from webhook_delivery
    where webhook_id = ${webhookId} and (${before ?? null}::bigint is null or key < ${before ?? null}::bigint)
    order by key desc limit ${page.size + 1}`;
  return cut("webhook_delivery", rows, page, (row) => String(row.key));
}

/** Deletes at most `limit` deliveries that were queued so long ago, sent or not; answers how many. */
export async function sweepWebhookDeliveries(sql: SqlOrTransaction, keep_ms: number, limit: number): Promise<number> {
  const { count } = await sql`
    delete from webhook_delivery where key in (
      select key from webhook_delivery where create_time < now() - ${keep_ms}::float8 * interval '1 millisecond' limit ${limit})`;
  return count;
}
