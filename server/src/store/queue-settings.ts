import type { SqlOrTransaction } from "./database.ts";

/** What bounds the queue of an organization or a project; 0 means no limit, and 1 is the usual weight. */
export type QueueBoundsRow = { scopeId: string; weight: number; maximumRunning: number; maximumQueued: number };

/** A queue that is held back: `scopeId` is "cluster", an organization's id, or a project's. */
export type QueuePause = {
  scopeId: string;
  /** Of the project, or the organization itself; null: the cluster. */
  organizationId: string | null;
  /** For people: "cluster", "organization", or the project's name. */
  scope: string;
  reason: string;
  pausedBy: string;
  pauseTime: Date;
};

/** Of all organizations and projects. */
export async function listQueueBounds(sql: SqlOrTransaction): Promise<QueueBoundsRow[]> {
  return sql<QueueBoundsRow[]>`
    select id as "scopeId", queue_weight as weight, maximum_running_jobs as "maximumRunning",
      maximum_queued_jobs as "maximumQueued" from organization
    union all
    select id, weight, maximum_running_jobs, 0 from project`;
}

/** All of them, widest first. */
export async function listQueuePauses(sql: SqlOrTransaction): Promise<QueuePause[]> {
  return sql<QueuePause[]>`
    select scope_id as "scopeId", p.organization_id as "organizationId", reason, paused_by as "pausedBy",
      pause_time as "pauseTime",
      case when p.organization_id is null then 'cluster' else coalesce(project.name, 'organization') end as scope
    from queue_pause p left join project on project.id = scope_id
    order by p.organization_id is not null, project.id is not null, scope_id`;
}

/** Holds a queue back; a new reason takes the place of the old one. */
export async function pauseQueue(
  sql: SqlOrTransaction,
  pause: Pick<QueuePause, "scopeId" | "organizationId" | "reason" | "pausedBy">,
): Promise<void> {
  await sql`
    insert into queue_pause (scope_id, organization_id, reason, paused_by)
    values (${pause.scopeId}, ${pause.organizationId}, ${pause.reason}, ${pause.pausedBy})
    on conflict (scope_id) do update set reason = excluded.reason, paused_by = excluded.paused_by, pause_time = now()`;
}

/** Answers whether it was held back. */
export async function resumeQueue(sql: SqlOrTransaction, scopeId: string): Promise<boolean> {
  return (await sql`delete from queue_pause where scope_id = ${scopeId}`).count > 0;
}

/** Changes an organization's limits; `null` leaves one as it is. */
export async function updateQueueLimits(
  sql: SqlOrTransaction,
  organizationId: string,
  limits: { maximumRunning: number | null; maximumQueued: number | null },
): Promise<void> {
  await sql`
    update organization set maximum_running_jobs = coalesce(${limits.maximumRunning}, maximum_running_jobs),
      maximum_queued_jobs = coalesce(${limits.maximumQueued}, maximum_queued_jobs), update_time = now()
    where id = ${organizationId}`;
}

/** Of an organization that is there. */
export async function getQueueLimits(sql: SqlOrTransaction, organizationId: string): Promise<QueueBoundsRow> {
  const [row] = await sql<QueueBoundsRow[]>`
    select id as "scopeId", queue_weight as weight, maximum_running_jobs as "maximumRunning",
      maximum_queued_jobs as "maximumQueued" from organization where id = ${organizationId}`;
  return row!;
}

/** How many jobs of an organization wait; until the transaction ends nobody else who asks this way is answered. */
export async function countQueuedJobs(sql: SqlOrTransaction, organizationId: string): Promise<number> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${`room ${organizationId}`}, 0))`;
  const [row] = await sql<{ count: number }[]>`
    select count(*)::int as count from job where organization_id = ${organizationId} and state = 'queued'`;
  return row!.count;
}

/** Its share beside other organizations. */
export async function updateQueueWeight(sql: SqlOrTransaction, organizationId: string, weight: number): Promise<void> {
  await sql`update organization set queue_weight = ${weight}, update_time = now() where id = ${organizationId}`;
}
