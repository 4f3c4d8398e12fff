import type { TriggerConfig } from "../domain/trigger-config.ts";
import type { SqlOrTransaction } from "./database.ts";
import { cut, decodeCursor, type Page } from "./paging.ts";
import { findProjects } from "./projects.ts";
import { orNameTaken } from "./unique.ts";

/** A trigger with the version that acts. */
export type TriggerRow = {
  id: string;
  organizationId: string;
  projectId: string;
  projectName: string;
  /** Unique in the project. */
  name: string;
  sealedSecret: Uint8Array | null;
  nextTime: Date | null;
  createTime: Date;
  updateTime: Date;
  /** The newest version that is on, else the newest. */
  version: number;
  enabled: boolean;
  config: TriggerConfig;
};

export type TriggerVersion = {
  version: number;
  enabled: boolean;
  config: TriggerConfig;
  createdBy: string;
  createTime: Date;
};

const shownVersions = 100;

const columns = (sql: SqlOrTransaction) => sql`
  t.id, t.organization_id as "organizationId", t.project_id as "projectId", p.name as "projectName", t.name,
  t.secret as "sealedSecret", t.next_time as "nextTime", t.create_time as "createTime", t.update_time as "updateTime",
  v.version, v.enabled, v.config`;

const tables = (sql: SqlOrTransaction) => sql`
  trigger t join project p on p.id = t.project_id
  join lateral (
    select version, enabled, config from trigger_version where trigger_id = t.id order by enabled desc, version desc limit 1
  ) v on true`;

export type NewTrigger = {
  id: string;
  organizationId: string;
  projectId: string;
  name: string;
  sealedSecret: Uint8Array | null;
  nextTime: Date | null;
  config: TriggerConfig;
  createdBy: string;
};

/** With its first version; `NAME_TAKEN` where the project has one of that name. */
export async function insertTrigger(sql: SqlOrTransaction, trigger: NewTrigger): Promise<TriggerRow> {
  const { id, organizationId, projectId, name, sealedSecret, nextTime, config, createdBy } = trigger;
  await sql`
    insert into trigger (id, organization_id, project_id, name, secret, next_time)
    values (${id}, ${organizationId}, ${projectId}, ${name}, ${sealedSecret}, ${nextTime})`.catch(
    orNameTaken(`the project has a trigger "${name}" already`),
  );
  await insertVersion(sql, { triggerId: id, version: 1, config, createdBy });
  return (await getTrigger(sql, id))!;
}

/** A new version, which is on. */
export async function insertVersion(
  sql: SqlOrTransaction,
  {
    triggerId,
    version,
    config,
    createdBy,
  }: { triggerId: string; version: number; config: TriggerConfig; createdBy: string },
): Promise<void> {
  await sql`
    insert into trigger_version (trigger_id, version, config, created_by)
    values (${triggerId}, ${version}, ${sql.json(config)}, ${createdBy})`;
}

/** By id, whoever's it is: whether the caller may see it is to be asked of what comes back. `undefined` where there is none. */
export async function getTrigger(sql: SqlOrTransaction, id: string): Promise<TriggerRow | undefined> {
  const [row] = await sql<TriggerRow[]>`select ${columns(sql)} from ${tables(sql)} where t.id = ${id}`;
  return row;
}

/** The trigger's number of versions; it stays as it is until the transaction ends. */
export async function lockTrigger(sql: SqlOrTransaction, id: string): Promise<number> {
  await sql`select from trigger where id = ${id} for update`;
  const [row] = await sql<{ newest: number | null }[]>`
    select max(version) as newest from trigger_version where trigger_id = ${id}`;
  return row?.newest ?? 0;
}

/** What a reference may mean: exact id; else `<project>/<name>`; else an id prefix. */
export async function findTriggers(
  sql: SqlOrTransaction,
  reference: string,
  organizationId: string | undefined,
): Promise<TriggerRow[]> {
  const exact = await getTrigger(sql, reference);
  if (exact) return [exact];
  if (organizationId === undefined) return [];
  const slash = reference.indexOf("/");
  if (slash > 0) {
    const [project] = await findProjects(sql, reference.slice(0, slash), organizationId);
    if (!project) return [];
    return sql<TriggerRow[]>`
      select ${columns(sql)} from ${tables(sql)}
      where t.project_id = ${project.id} and t.name = ${reference.slice(slash + 1)}`;
  }
  if (!reference.startsWith("trg_")) return [];
  return sql<TriggerRow[]>`
    select ${columns(sql)} from ${tables(sql)}
    where t.organization_id = ${organizationId} and starts_with(t.id, ${reference}) limit 5`;
}

/** By project and name; `projectId` empty: of all projects. */
export async function listTriggers(
  sql: SqlOrTransaction,
  { organizationId, projectId }: { organizationId: string; projectId: string },
  page: Page,
) {
  const after = decodeCursor(page.token, "trigger");
  const rows = await sql<TriggerRow[]>`
    select ${columns(sql)} from ${tables(sql)}
    where t.organization_id = ${organizationId} and (${projectId} = '' or t.project_id = ${projectId})
      and (${after ?? null}::text is null or p.name || '/' || t.name > ${after ?? null})
    order by p.name || '/' || t.name limit ${page.size + 1}`;
  return cut("trigger", rows, page, (row) => `${row.projectName}/${row.name}`);
}

/** Newest first, at most a hundred. */
export async function listVersions(sql: SqlOrTransaction, triggerId: string): Promise<TriggerVersion[]> {
  return sql<TriggerVersion[]>`
    select version, enabled, config, created_by as "createdBy", create_time as "createTime"
    from trigger_version where trigger_id = ${triggerId} order by version desc limit ${shownVersions}`;
}

/** Switches one version on or off, or (`undefined`) all of them; answers how many there were. */
export async function setEnabled(
  sql: SqlOrTransaction,
  triggerId: string,
  { version, enabled }: { version: number | undefined; enabled: boolean },
): Promise<number> {
  const { count } = await sql`
    update trigger_version set enabled = ${enabled}
    where trigger_id = ${triggerId} and (${version ?? null}::integer is null or version = ${version ?? null})`;
  return count;
}

/** A schedule comes due at another time, and whoever looks at the trigger sees that it changed. */
export async function setNextTime(sql: SqlOrTransaction, id: string, nextTime: Date | null): Promise<void> {
  await sql`update trigger set next_time = ${nextTime}, update_time = now() where id = ${id}`;
}

/** What deliveries are signed with, sealed. */
export async function setSecret(sql: SqlOrTransaction, id: string, sealedSecret: Uint8Array): Promise<void> {
  await sql`update trigger set secret = ${sealedSecret}, update_time = now() where id = ${id}`;
}

/** What reports are sent with, sealed. */
export async function setCredential(sql: SqlOrTransaction, id: string, sealed: Uint8Array): Promise<void> {
  await sql`update trigger set credential = ${sealed}, update_time = now() where id = ${id}`;
}

/** With its versions, tokens and deliveries. */
export async function deleteTrigger(sql: SqlOrTransaction, id: string): Promise<void> {
  await sql`delete from trigger where id = ${id}`;
}

/** Schedules that are due; each row is held until the transaction ends, and passed over by everybody else. */
export async function holdDueSchedules(sql: SqlOrTransaction, limit: number): Promise<TriggerRow[]> {
  return sql<TriggerRow[]>`
    select ${columns(sql)} from ${tables(sql)} where t.next_time <= now() order by t.next_time limit ${limit}
    for update of t skip locked`;
}

/** A schedule was taken care of until then. */
export async function moveSchedule(sql: SqlOrTransaction, id: string, nextTime: Date | null): Promise<void> {
  await sql`update trigger set next_time = ${nextTime} where id = ${id}`;
}
