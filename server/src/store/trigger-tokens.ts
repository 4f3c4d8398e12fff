import type { SqlOrTransaction } from "./database.ts";
import { cut, decodeCursor, type Page } from "./paging.ts";

/** A token that may start runs of one project. */
export type TriggerToken = {
  id: string;
  organizationId: string;
  projectId: string;
  name: string;
  createdBy: string;
  createTime: Date;
  expireTime: Date | null;
  useTime: Date | null;
  revokeTime: Date | null;
};

const columns = (sql: SqlOrTransaction) => sql`
  id, organization_id as "organizationId", project_id as "projectId", name, created_by as "createdBy",
  create_time as "createTime", expire_time as "expireTime", use_time as "useTime", revoke_time as "revokeTime"`;

type NewToken = Pick<TriggerToken, "id" | "organizationId" | "projectId" | "name" | "createdBy" | "expireTime">;

/** Stores the hash of a token; the token itself is never stored (I6). */
export async function insertTriggerToken(
  sql: SqlOrTransaction,
  { id, organizationId, projectId, name, createdBy, expireTime, hash }: NewToken & { hash: Uint8Array },
): Promise<TriggerToken> {
  const [row] = await sql<TriggerToken[]>`
    insert into trigger_token (id, organization_id, project_id, name, hash, created_by, expire_time)
    values (${id}, ${organizationId}, ${projectId}, ${name}, ${hash}, ${createdBy}, ${expireTime}) returning ${columns(sql)}`;
  return row!;
}

/** The live token with this hash; notes its use, at most once a minute. */
export async function useTriggerToken(sql: SqlOrTransaction, hash: Uint8Array): Promise<TriggerToken | undefined> {
  const [row] = await sql<TriggerToken[]>`
    select ${columns(sql)} from trigger_token
    where hash = ${hash} and revoke_time is null and (expire_time is null or expire_time > now())`;
  if (!row) return undefined;
  await sql`
    update trigger_token set use_time = now()
    where id = ${row.id} and (use_time is null or use_time < now() - interval '1 minute')`;
  return row;
}

/** Newest first. */
export async function listTriggerTokens(sql: SqlOrTransaction, projectId: string, page: Page) {
  const before = decodeCursor(page.token, "trigger_token");
  const position = sql`(extract(epoch from create_time) * 1000000)::bigint`;
  const rows = await sql<(TriggerToken & { position: string })[]>`
    select ${columns(sql)}, ${position}::text as position from trigger_token
    where project_id = ${projectId} and (${before ?? null}::bigint is null or ${position} < ${before ?? null}::bigint)
    order by create_time desc limit ${page.size + 1}`;
  return cut("trigger_token", rows, page, (row) => row.position);
}

/** Revokes a project's token by its id, or by the name of one that is not revoked; undefined where there is none. */
export async function revokeTriggerToken(
  sql: SqlOrTransaction,
  projectId: string,
  reference: string,
): Promise<TriggerToken | undefined> {
  const [row] = await sql<TriggerToken[]>`
    update trigger_token set revoke_time = coalesce(revoke_time, now()) where id = (
      select id from trigger_token
      where project_id = ${projectId} and (id = ${reference} or name = ${reference} and revoke_time is null)
      order by id = ${reference} desc, create_time desc limit 1)
    returning ${columns(sql)}`;
  return row;
}
