import { createId } from "../../../wire/ids.ts";
import type { Scope } from "../domain/access.ts";
import type { SqlOrTransaction } from "./database.ts";
import { cut, decodeCursor, type Page } from "./paging.ts";

/** Who did what, from where, and how it ended. `details` never holds a secret. */
export type AuditEvent = {
  scope: Scope;
  actor: string;
  action: string;
  objectId?: string;
  objectName?: string;
  source?: string;
  outcome: string;
  details?: Record<string, string>;
};

export type StoredAuditEvent = {
  id: string;
  time: Date;
  actor: string;
  action: string;
  objectId: string;
  objectName: string;
  source: string;
  outcome: string;
  details: Record<string, string>;
};

/** Writes one event, in the caller's transaction where it has one. */
export async function insertAuditEvent(sql: SqlOrTransaction, event: AuditEvent): Promise<void> {
  const organizationId = event.scope.kind === "organization" ? event.scope.organizationId : null;
  await sql`
    insert into audit_event (id, organization_id, actor, action, object_id, object_name, source, outcome, details)
    values (${createId("event")}, ${organizationId}, ${event.actor}, ${event.action}, ${event.objectId ?? ""},
      ${event.objectName ?? ""}, ${event.source ?? ""}, ${event.outcome}, ${sql.json(event.details ?? {})})`;
}

/** The same for many: a statement to await, or a part of one. */
export function insertAuditEvents(sql: SqlOrTransaction, events: readonly AuditEvent[]) {
  const rows = events.map(({ scope, objectId = "", objectName = "", source = "", details = {}, ...event }) => ({
    ...{ ...event, objectId, objectName, source, details },
    id: createId("event"),
    organizationId: scope.kind === "organization" ? scope.organizationId : null,
  }));
  return sql`
    insert into audit_event (id, organization_id, actor, action, object_id, object_name, source, outcome, details)
    select i.* from jsonb_to_recordset(${sql.json(rows)}) as i ("id" text, "organizationId" text, "actor" text, "action" text,
      "objectId" text, "objectName" text, "source" text, "outcome" text, "details" jsonb)`;
}

export type AuditFilter = { scope: Scope; objectId: string; action: string };

/** Newest first. */
export async function listAuditEvents(sql: SqlOrTransaction, filter: AuditFilter, page: Page) {
  const organizationId = filter.scope.kind === "organization" ? filter.scope.organizationId : null;
  const before = decodeCursor(page.token, "audit_event");
  const rows = await sql<(StoredAuditEvent & { key: bigint })[]>`
    select key, id, time, actor, action, object_id as "objectId", object_name as "objectName", source, outcome, details
    from audit_event
    where organization_id is not distinct from ${organizationId}
      and (${filter.objectId} = '' or object_id = ${filter.objectId})
      and (${filter.action} = '' or action = ${filter.action})
      and (${before ?? null}::bigint is null or key < ${before ?? null}::bigint)
    order by key desc limit ${page.size + 1}`;
  return cut("audit_event", rows, page, ({ key }) => String(key));
}

/** Deletes at most `limit` of the oldest events, as far as they are so old; answers how many. */
export async function sweepAuditEvents(sql: SqlOrTransaction, keep_ms: number, limit: number): Promise<number> {
  const { count } = await sql`
    delete from audit_event where key in (
      select key from (select key, time from audit_event order by key limit ${limit}) oldest
      where time < now() - ${keep_ms}::float8 * interval '1 millisecond')`;
  return count;
}
