import type { SqlOrTransaction } from "./database.ts";
import { cut, decodeCursor, type Page } from "./paging.ts";
import { orNameTaken } from "./unique.ts";

/** A named place of an organization, with a source repository. */
export type Project = {
  id: string;
  organizationId: string;
  name: string;
  sourceUrl: string;
  defaultRef: string;
  weight: number;
  /** 0: no limit. */
  maximumRunningJobs: number;
  /** 0: the server's default. */
  retentionDays: number;
  createTime: Date;
  updateTime: Date;
};

/** What people set of a project. */
export type ProjectSettings = Pick<
  Project,
  "name" | "sourceUrl" | "defaultRef" | "weight" | "maximumRunningJobs" | "retentionDays"
>;

const columns = (sql: SqlOrTransaction) => sql`
  id, organization_id as "organizationId", name, source_url as "sourceUrl", default_ref as "defaultRef", weight,
  maximum_running_jobs as "maximumRunningJobs", retention_days as "retentionDays", create_time as "createTime",
  update_time as "updateTime"`;

/** `NAME_TAKEN` where the organization has one of that name. */
export async function insertProject(
  sql: SqlOrTransaction,
  { id, organizationId, ...settings }: ProjectSettings & { id: string; organizationId: string },
): Promise<Project> {
  const [row] = await sql<Project[]>`
    insert into project (id, organization_id, name, source_url, default_ref, weight, maximum_running_jobs, retention_days)
    values (${id}, ${organizationId}, ${settings.name}, ${settings.sourceUrl}, ${settings.defaultRef}, ${settings.weight},
      ${settings.maximumRunningJobs}, ${settings.retentionDays}) returning ${columns(sql)}`.catch(
    orTaken(settings.name),
  );
  return row!;
}

/** What a reference may mean: exact id; else the name in the organization; else an id prefix. */
export async function findProjects(
  sql: SqlOrTransaction,
  reference: string,
  organizationId: string | undefined,
): Promise<Project[]> {
  const exact = await getProject(sql, reference);
  if (exact) return [exact];
  if (organizationId === undefined) return [];
  const named = await sql<Project[]>`
    select ${columns(sql)} from project where organization_id = ${organizationId} and name = ${reference}`;
  if (named.length > 0 || !reference.startsWith("prj_")) return named;
  return sql<Project[]>`
    select ${columns(sql)} from project
    where organization_id = ${organizationId} and starts_with(id, ${reference}) limit 5`;
}

/** By id, whoever's it is: whether the caller may see it is to be asked of what comes back. `undefined` where there is none. */
export async function getProject(sql: SqlOrTransaction, id: string): Promise<Project | undefined> {
  const [row] = await sql<Project[]>`select ${columns(sql)} from project where id = ${id}`;
  return row;
}

/** By name. */
export async function listProjects(sql: SqlOrTransaction, organizationId: string, page: Page) {
  const after = decodeCursor(page.token, "project");
  const rows = await sql<Project[]>`
    select ${columns(sql)} from project
    where organization_id = ${organizationId} and (${after ?? null}::text is null or name > ${after ?? null})
    order by name limit ${page.size + 1}`;
  return cut("project", rows, page, (row) => row.name);
}

/** Sets what is given; `undefined` where the project is gone. Throws `NAME_TAKEN` where the name is taken. */
export async function updateProject(
  sql: SqlOrTransaction,
  id: string,
  settings: Partial<ProjectSettings>,
): Promise<Project | undefined> {
  const { name, sourceUrl, defaultRef, weight, maximumRunningJobs, retentionDays } = settings;
  const [row] = await sql<Project[]>`
    update project set name = coalesce(${name ?? null}, name), source_url = coalesce(${sourceUrl ?? null}, source_url),
      default_ref = coalesce(${defaultRef ?? null}, default_ref), weight = coalesce(${weight ?? null}, weight),
      maximum_running_jobs = coalesce(${maximumRunningJobs ?? null}, maximum_running_jobs),
      retention_days = coalesce(${retentionDays ?? null}, retention_days), update_time = now()
    where id = ${id} returning ${columns(sql)}`.catch(orTaken(name ?? ""));
  return row;
}

/** Deletes it unless runs of it are live; answers how many are. */
export async function deleteProject(sql: SqlOrTransaction, id: string): Promise<number> {
  const [row] = await sql<{ live: number }[]>`
    with live as (select count(*)::int as live from run where project_id = ${id} and end_time is null),
      gone as (delete from project where id = ${id} and (select live from live) = 0),
      resumed as (delete from queue_pause where scope_id = ${id} and (select live from live) = 0)
    select live from live`;
  return row!.live;
}

function orTaken(name: string): (error: unknown) => never {
  return orNameTaken(`the organization has a project "${name}" already`);
}
