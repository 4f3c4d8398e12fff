import type { WebhookFilter } from "../domain/webhook.ts";
import type { SqlOrTransaction } from "./database.ts";
import { cut, decodeCursor, type Page } from "./paging.ts";
import { orNameTaken } from "./unique.ts";

/** An address that is told of events; its secrets are sealed. */
export type WebhookRow = WebhookFilter & {
  id: string;
  organizationId: string;
  /** Empty: of all of the organization. */
  projectName: string;
  /** Unique in the organization. */
  name: string;
  url: string;
  events: string[];
  labels: Record<string, string>;
  enabled: boolean;
  disableReason: string;
  sealedSecret: Uint8Array;
  sealedPreviousSecret: Uint8Array | null;
  previousSecretExpireTime: Date | null;
  failingSince: Date | null;
  failures: number;
  lastError: string;
  /** Deliveries that wait, counted no further than one beyond `waitingLimit`. */
  waiting: number;
  dropped: bigint;
  createdBy: string;
  createTime: Date;
  updateTime: Date;
};

/** What people set of a webhook. */
export type WebhookSettings = Pick<WebhookRow, "name" | "url" | "events" | "labels">;

/** Deliveries of one webhook that wait (I9). */
export const waitingLimit = 10_000;

const columns = (sql: SqlOrTransaction) => sql`
  w.id, w.organization_id as "organizationId", w.project_id as "projectId", coalesce(p.name, '') as "projectName", w.name, w.url,
  w.events, w.labels, w.enabled, w.disable_reason as "disableReason", w.secret as "sealedSecret",
  w.previous_secret as "sealedPreviousSecret", w.previous_secret_expire_time as "previousSecretExpireTime",
  w.failing_since as "failingSince", w.failures, w.last_error as "lastError", w.dropped, w.created_by as "createdBy",
  w.create_time as "createTime", w.update_time as "updateTime",
  (select count(*)::int from (
    select from webhook_delivery where webhook_id = w.id and state = 'waiting' limit ${waitingLimit + 1}) waiting) as waiting`;

const tables = (sql: SqlOrTransaction) => sql`webhook w left join project p on p.id = w.project_id`;

export type NewWebhook = WebhookSettings &
  Pick<WebhookRow, "id" | "organizationId" | "projectId" | "sealedSecret" | "createdBy">;

/** `undefined` where it would be one more than `maximum` of its organization; `NAME_TAKEN` where that has one of the name. */
export async function insertWebhook(
  sql: SqlOrTransaction,
  hook: NewWebhook,
  maximum: number,
): Promise<WebhookRow | undefined> {
  await sql`
    insert into webhook (id, organization_id, project_id, name, url, events, labels, secret, created_by)
    select ${hook.id}, ${hook.organizationId}, ${hook.projectId}, ${hook.name}, ${hook.url}, ${sql.json(hook.events)},
      ${sql.json(hook.labels)}, ${hook.sealedSecret}, ${hook.createdBy}
    where ${maximum} > (select count(*) from webhook where organization_id = ${hook.organizationId})`.catch(
    orTaken(hook.name),
  );
  return getWebhook(sql, hook.id);
}

/** By id, whoever's it is: whether the caller may see it is to be asked of what comes back. `undefined` where there is none. */
export async function getWebhook(sql: SqlOrTransaction, id: string): Promise<WebhookRow | undefined> {
  const [row] = await sql<WebhookRow[]>`select ${columns(sql)} from ${tables(sql)} where w.id = ${id}`;
  return row;
}

/** What a reference may mean: exact id; else the name in the organization; else an id prefix. */
export async function findWebhooks(
  sql: SqlOrTransaction,
  reference: string,
  organizationId: string | undefined,
): Promise<WebhookRow[]> {
  const exact = await getWebhook(sql, reference);
  if (exact) return [exact];
  if (organizationId === undefined) return [];
  const named = await sql<WebhookRow[]>`
    select ${columns(sql)} from ${tables(sql)} where w.organization_id = ${organizationId} and w.name = ${reference}`;
  if (named.length > 0 || !reference.startsWith("whk_")) return named;
  return sql<WebhookRow[]>`
    select ${columns(sql)} from ${tables(sql)}
    where w.organization_id = ${organizationId} and starts_with(w.id, ${reference}) limit 5`;
}

/** By name; `projectId` empty: all. */
export async function listWebhooks(
  sql: SqlOrTransaction,
  { organizationId, projectId }: { organizationId: string; projectId: string },
  page: Page,
) {
  const after = decodeCursor(page.token, "webhook");
  const rows = await sql<WebhookRow[]>`
    select ${columns(sql)} from ${tables(sql)}
    where w.organization_id = ${organizationId} and (${projectId} = '' or w.project_id = ${projectId})
      and (${after ?? null}::text is null or w.name > ${after ?? null})
    order by w.name limit ${page.size + 1}`;
  return cut("webhook", rows, page, (row) => row.name);
}

/** Of organizations: those that are on. */
export async function listListeners(sql: SqlOrTransaction, organizationIds: readonly string[]): Promise<WebhookRow[]> {
  return sql<WebhookRow[]>`
    select ${columns(sql)} from ${tables(sql)} where w.organization_id = any(${[...organizationIds]}) and w.enabled order by w.id`;
}

/** Sets what is given. What waits goes to the new address, and at once. `NAME_TAKEN` where the organization has one of the name. */
export async function updateWebhook(
  sql: SqlOrTransaction,
  id: string,
  { name, url, events, labels }: Partial<WebhookSettings>,
): Promise<void> {
  await sql`
    update webhook set name = coalesce(${name ?? null}, name), url = coalesce(${url ?? null}, url),
      events = coalesce(${events ? sql.json(events) : null}::jsonb, events),
      labels = coalesce(${labels ? sql.json(labels) : null}::jsonb, labels), update_time = now(), next_send_time = now()
    where id = ${id}`.catch(orTaken(name ?? ""));
}

/** Switches it on, as if it had never failed. */
export async function enableWebhook(sql: SqlOrTransaction, id: string): Promise<void> {
  await sql`
    update webhook set enabled = true, disable_reason = '', failing_since = null, failures = 0, next_send_time = now(),
      update_time = now()
    where id = ${id}`;
}

/** `reason` empty: people did. Answers whether it was on. */
export async function disableWebhook(sql: SqlOrTransaction, id: string, reason: string): Promise<boolean> {
  const { count } = await sql`
    update webhook set enabled = false, disable_reason = ${reason}, update_time = now() where id = ${id} and enabled`;
  return count === 1;
}

/** The secret that was in force goes on signing for so long; 0: not at all. */
export async function replaceWebhookSecret(
  sql: SqlOrTransaction,
  id: string,
  { sealed, overlap_ms }: { sealed: Uint8Array; overlap_ms: number },
): Promise<void> {
  await sql`
    update webhook set secret = ${sealed}, update_time = now(),
      previous_secret = case when ${overlap_ms}::float8 > 0 then secret end,
      previous_secret_expire_time = case when ${overlap_ms}::float8 > 0 then now() + ${overlap_ms}::float8 * interval '1 millisecond' end
    where id = ${id}`;
}

/** So many events were not queued. */
export async function countDropped(sql: SqlOrTransaction, id: string, count: number): Promise<void> {
  await sql`update webhook set dropped = dropped + ${count} where id = ${id}`;
}

/** Its deliveries go with it. */
export async function deleteWebhook(sql: SqlOrTransaction, id: string): Promise<void> {
  await sql`delete from webhook where id = ${id}`;
}

function orTaken(name: string): (error: unknown) => never {
  return orNameTaken(`the organization has a webhook "${name}" already`);
}
