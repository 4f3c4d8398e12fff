import { createId } from "../../../wire/ids.ts";
import type { SqlOrTransaction } from "./database.ts";
import { cut, decodeCursor, type Page } from "./paging.ts";
import { orNameTaken } from "./unique.ts";

export type User = { id: string; name: string; clusterAdmin: boolean; createTime: Date };

const firstUserLock = 4_171_390_056;

const columns = (sql: SqlOrTransaction) => sql`id, name, cluster_admin as "clusterAdmin", create_time as "createTime"`;

/** Creates a user; `NAME_TAKEN` where the name is. */
export async function insertUser(sql: SqlOrTransaction, name: string, clusterAdmin: boolean): Promise<User> {
  const [row] = await sql<User[]>`
    insert into app_user (id, name, cluster_admin) values (${createId("user")}, ${name}, ${clusterAdmin}) returning ${columns(sql)}`.catch(
    orNameTaken(`the name "${name}" is taken`),
  );
  return row!;
}

/**
 * What a reference may mean: exact id; else the name; else an id prefix, of those who share an organization with `fellowOf`, or of all
 * where it is undefined. At most a few candidates.
 */
export async function findUsers(
  sql: SqlOrTransaction,
  reference: string,
  fellowOf: string | undefined,
): Promise<User[]> {
  const exact = await sql<
    User[]
  >`select ${columns(sql)} from app_user where id = ${reference} or name = ${reference} order by id <> ${reference} limit 1`;
  if (exact.length > 0 || !reference.startsWith("usr_")) return exact;
  return sql<User[]>`
    select ${columns(sql)} from app_user
    where starts_with(id, ${reference}) and (${fellowOf ?? null}::text is null or id in (
      select fellow.user_id from member fellow join member own using (organization_id) where own.user_id = ${fellowOf ?? null}))
    limit 5`;
}

/** The user, locked until the transaction ends. */
export async function lockUser(sql: SqlOrTransaction, id: string): Promise<User | undefined> {
  const [row] = await sql<User[]>`select ${columns(sql)} from app_user where id = ${id} for update`;
  return row;
}

/** By name. */
export async function listUsers(sql: SqlOrTransaction, page: Page) {
  const after = decodeCursor(page.token, "user") ?? "";
  const rows = await sql<
    User[]
  >`select ${columns(sql)} from app_user where name > ${after} order by name limit ${page.size + 1}`;
  return cut("user", rows, page, (row) => row.name);
}

/** Of a user who is there. */
export async function setClusterAdmin(sql: SqlOrTransaction, id: string, clusterAdmin: boolean): Promise<User> {
  const [row] = await sql<
    User[]
  >`update app_user set cluster_admin = ${clusterAdmin} where id = ${id} returning ${columns(sql)}`;
  return row!;
}

/** The cluster admins, locked so that two who leave at once cannot both be the last but one. */
export async function lockClusterAdmins(sql: SqlOrTransaction): Promise<string[]> {
  const rows = await sql<{ id: string }[]>`select id from app_user where cluster_admin for update`;
  return rows.map((row) => row.id);
}

/** Their tokens and memberships go with them. */
export async function deleteUser(sql: SqlOrTransaction, id: string): Promise<void> {
  await sql`delete from app_user where id = ${id}`;
}

/** Lets one transaction at a time ask whether there are users, and make the first. */
export async function lockUsers(sql: SqlOrTransaction): Promise<void> {
  await sql`select pg_advisory_xact_lock(${firstUserLock})`;
}

/** Whether there is anybody: if not, this is the first start. */
export async function hasUsers(sql: SqlOrTransaction): Promise<boolean> {
  const rows = await sql`select 1 from app_user limit 1`;
  return rows.length > 0;
}
