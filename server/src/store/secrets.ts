import { toArrayLiteral } from "./array-literal.ts";
import type { SqlOrTransaction } from "./database.ts";
import { cut, decodeCursor, type Page } from "./paging.ts";

/** Where a secret belongs; `projectId` null: to the whole organization. */
export type SecretScope = { organizationId: string; projectId: string | null };

/** A secret without its value. */
export type Secret = SecretScope & {
  name: string;
  /** A user's id. */
  setBy: string;
  createTime: Date;
  setTime: Date;
  lastUseTime: Date | null;
};

const columns = (sql: SqlOrTransaction) => sql`
  organization_id as "organizationId", project_id as "projectId", name, set_by as "setBy", create_time as "createTime",
  set_time as "setTime", last_use_time as "lastUseTime"`;

/** Sets a value, sealed, new or anew; `undefined` where a new one would be one more than `maximum` of its scope. */
export async function putSecret(
  sql: SqlOrTransaction,
  secret: SecretScope & { name: string; sealed: Uint8Array; setBy: string },
  maximum: number,
): Promise<Secret | undefined> {
  const { organizationId, projectId, name, sealed, setBy } = secret;
  const [row] = await sql<Secret[]>`
    insert into secret (organization_id, project_id, name, sealed, set_by)
    select ${organizationId}, ${projectId}, ${name}, ${sealed}, ${setBy}
    where ${maximum} > (select count(*) from secret
      where organization_id = ${organizationId} and project_id is not distinct from ${projectId} and name <> ${name})
    on conflict (organization_id, project_id, name)
      do update set sealed = excluded.sealed, set_by = excluded.set_by, set_time = now()
    returning ${columns(sql)}`;
  return row;
}

/** By name: the organization's, and with a project its own beside them. */
export async function listSecrets(sql: SqlOrTransaction, { organizationId, projectId }: SecretScope, page: Page) {
  const [name = null, project = null] = decodeCursor(page.token, "secret")?.split(" ") ?? [];
  const rows = await sql<Secret[]>`
    select ${columns(sql)} from secret
    where organization_id = ${organizationId} and (project_id is null or project_id = ${projectId})
      and (${name}::text is null or (name, coalesce(project_id, '')) > (${name}, ${project ?? ""}))
    order by name, coalesce(project_id, '') limit ${page.size + 1}`;
  return cut("secret", rows, page, (row) => `${row.name} ${row.projectId ?? ""}`);
}

/** The secret as it was, or `undefined`. */
export async function deleteSecret(
  sql: SqlOrTransaction,
  { organizationId, projectId, name }: SecretScope & { name: string },
): Promise<Secret | undefined> {
  const [row] = await sql<Secret[]>`
    delete from secret
    where organization_id = ${organizationId} and project_id is not distinct from ${projectId} and name = ${name}
    returning ${columns(sql)}`;
  return row;
}

/** A secret's value, sealed. */
export type SealedSecret = SecretScope & { name: string; sealed: Uint8Array };

/** What a project's jobs may have of these names: its own before the organization's. Notes that they are used. */
export async function useSecrets(
  sql: SqlOrTransaction,
  { organizationId, projectId }: SecretScope,
  names: readonly string[],
): Promise<SealedSecret[]> {
  const found = await sql<(SealedSecret & { key: bigint })[]>`
    select distinct on (name) key, organization_id as "organizationId", project_id as "projectId", name, sealed from secret
    where organization_id = ${organizationId} and (project_id is null or project_id = ${projectId})
      and name = any(${toArrayLiteral(names)}::text[])
    order by name, project_id nulls last`;
  // At most once a minute, and never waiting: many runs start at once, and name the same secrets in any order.
  await sql`
    update secret set last_use_time = now() where key in (
      select key from secret
      where key = any(${toArrayLiteral(found.map((one) => one.key))}::bigint[])
        and (last_use_time is null or last_use_time < now() - interval '1 minute')
      for update skip locked)`;
  return found;
}
