import { createId } from "../../../wire/ids.ts";
import type { MemberRole, Membership } from "../domain/access.ts";
import type { SqlOrTransaction } from "./database.ts";
import { cut, decodeCursor, type Page } from "./paging.ts";
import { orNameTaken } from "./unique.ts";

export type Organization = {
  id: string;
  name: string;
  personalUserId: string | null;
  createTime: Date;
  updateTime: Date;
};
export type Member = { userId: string; userName: string; role: MemberRole; createTime: Date };

const columns = (sql: SqlOrTransaction) =>
  sql`id, name, personal_user_id as "personalUserId", create_time as "createTime", update_time as "updateTime"`;

/** Creates an organization; `NAME_TAKEN` where the name is. */
export async function insertOrganization(
  sql: SqlOrTransaction,
  name: string,
  personalUserId: string | null,
  id = createId("organization"),
): Promise<Organization> {
  const [row] = await sql<Organization[]>`
    insert into organization (id, name, personal_user_id) values (${id}, ${name}, ${personalUserId})
    returning ${columns(sql)}`.catch(orNameTaken(`the name "${name}" is taken`));
  return row!;
}

/** Of those `userId` belongs to, or of all where it is undefined: by exact id, then name, then id prefix; at most a few candidates. */
export async function findOrganizations(
  sql: SqlOrTransaction,
  reference: string,
  userId: string | undefined,
): Promise<Organization[]> {
  const isVisible =
    userId === undefined ? sql`true` : sql`id in (select organization_id from member where user_id = ${userId})`;
  const exact = await sql<Organization[]>`
    select ${columns(sql)} from organization
    where (id = ${reference} or name = ${reference}) and ${isVisible} order by id <> ${reference} limit 1`;
  if (exact.length > 0 || !reference.startsWith("org_")) return exact;
  return sql<Organization[]>`
    select ${columns(sql)} from organization where starts_with(id, ${reference}) and ${isVisible} limit 5`;
}

/** By id, whoever's it is: whether the caller may see it is to be asked of what comes back. `undefined` where there is none. */
export async function getOrganization(sql: SqlOrTransaction, id: string): Promise<Organization | undefined> {
  const [row] = await sql<Organization[]>`select ${columns(sql)} from organization where id = ${id}`;
  return row;
}

/** The organization, locked until the transaction ends. */
export async function lockOrganization(sql: SqlOrTransaction, id: string): Promise<Organization | undefined> {
  const [row] = await sql<Organization[]>`select ${columns(sql)} from organization where id = ${id} for update`;
  return row;
}

/** The user's personal organization, locked until the transaction ends. */
export async function lockPersonalOrganization(
  sql: SqlOrTransaction,
  userId: string,
): Promise<Organization | undefined> {
  const [row] = await sql<
    Organization[]
  >`select ${columns(sql)} from organization where personal_user_id = ${userId} for update`;
  return row;
}

/** By name; those of `userId`, or all where it is undefined. */
export async function listOrganizations(sql: SqlOrTransaction, userId: string | undefined, page: Page) {
  const after = decodeCursor(page.token, "organization") ?? "";
  const rows = await sql<Organization[]>`
    select ${columns(sql)} from organization
    where name > ${after} and (${userId ?? null}::text is null or id in (select organization_id from member where user_id = ${userId ?? null}))
    order by name limit ${page.size + 1}`;
  return cut("organization", rows, page, (row) => row.name);
}

/** Of one that is there. Throws `NAME_TAKEN` where the name is taken. */
export async function renameOrganization(sql: SqlOrTransaction, id: string, name: string): Promise<Organization> {
  const [row] = await sql<
    Organization[]
  >`update organization set name = ${name}, update_time = now() where id = ${id} returning ${columns(sql)}`.catch(
    orNameTaken(`the name "${name}" is taken`),
  );
  return row!;
}

/** What still belongs to an organization and keeps it from being deleted; ended workloads and runs do not. */
export type Belongings = { runners: number; workloads: number; projects: number; runs: number };

/** Of the organization now; something may be added until its row is locked. */
export async function countBelongings(sql: SqlOrTransaction, id: string): Promise<Belongings> {
  const [row] = await sql<Belongings[]>`
    select (select count(*)::int from runner where organization_id = ${id} and delete_time is null) as runners,
      (select count(*)::int from workload_life where organization_id = ${id}) as workloads,
      (select count(*)::int from project where organization_id = ${id}) as projects,
      (select count(*)::int from run where organization_id = ${id} and end_time is null) as runs`;
  return row!;
}

/** Deletes it with its members and tombstones. */
export async function deleteOrganization(sql: SqlOrTransaction, id: string): Promise<void> {
  await sql`delete from identity_generation where identity_id in (select i.id from identity i join runner r on r.id = i.runner_id where r.organization_id = ${id})`;
  await sql`delete from identity where runner_id in (select id from runner where organization_id = ${id})`;
  await sql`delete from runner where organization_id = ${id}`;
  await sql`delete from organization where id = ${id}`;
}

/** Adds a member, or changes the role of one. */
export async function setMember(
  sql: SqlOrTransaction,
  organizationId: string,
  userId: string,
  role: MemberRole,
): Promise<void> {
  await sql`insert into member (organization_id, user_id, role) values (${organizationId}, ${userId}, ${role})
    on conflict (organization_id, user_id) do update set role = excluded.role`;
}

/** Whether there was such a member. */
export async function removeMember(sql: SqlOrTransaction, organizationId: string, userId: string): Promise<boolean> {
  const rows =
    await sql`delete from member where organization_id = ${organizationId} and user_id = ${userId} returning 1`;
  return rows.length > 0;
}

/** The owners, locked so that two who leave at once cannot both be the last but one. */
export async function lockOwners(sql: SqlOrTransaction, organizationId: string): Promise<string[]> {
  const rows = await sql<{ userId: string }[]>`
    select user_id as "userId" from member where organization_id = ${organizationId} and role = 'owner' for update`;
  return rows.map((row) => row.userId);
}

/** By user name. */
export async function listMembers(sql: SqlOrTransaction, organizationId: string, page: Page) {
  const after = decodeCursor(page.token, "member") ?? "";
  const rows = await sql<Member[]>`
    select m.user_id as "userId", u.name as "userName", m.role, m.create_time as "createTime"
    from member m join app_user u on u.id = m.user_id
    where m.organization_id = ${organizationId} and u.name > ${after} order by u.name limit ${page.size + 1}`;
  return cut("member", rows, page, (row) => row.userName);
}

/** `undefined` where the user is no member. */
export async function getMember(
  sql: SqlOrTransaction,
  organizationId: string,
  userId: string,
): Promise<Member | undefined> {
  const [row] = await sql<Member[]>`
    select m.user_id as "userId", u.name as "userName", m.role, m.create_time as "createTime"
    from member m join app_user u on u.id = m.user_id where m.organization_id = ${organizationId} and m.user_id = ${userId}`;
  return row;
}

/** Where a user belongs. */
export async function listMemberships(sql: SqlOrTransaction, userId: string): Promise<Membership[]> {
  return sql<Membership[]>`
    select o.id as "organizationId", o.name as "organizationName", o.personal_user_id as "personalUserId",
      o.create_time as "createTime", o.update_time as "updateTime", m.role
    from member m join organization o on o.id = m.organization_id where m.user_id = ${userId} order by o.name`;
}
