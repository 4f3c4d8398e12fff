import type { Concurrency } from "../../../pipelines/pipeline.ts";
import type { SqlOrTransaction } from "./database.ts";
import type { RunRow } from "./runs.ts";

/*
 * Concurrency groups. A run's group lets at most so many live runs of its organization and project begin, in the order of
 * their turns; a job's group is kept by the queue. In both, the newest may ask for the end of those before it.
 */

type Member = Pick<RunRow, "id" | "organizationId" | "projectId">;

/**
 * Asks a held run's group whether the attempt may begin. `undefined`: it may, and is counted from now on; else the number of
 * a run that it waits for. Those who ask at once take turns.
 */
export async function enterGroup(
  sql: SqlOrTransaction,
  run: Member,
  { group, limit, onConflict }: Concurrency<string>,
): Promise<bigint | undefined> {
  const { id, organizationId, projectId } = run;
  await sql`select pg_advisory_xact_lock(hashtextextended(${`group ${organizationId} ${projectId} ${group}`}, 0))`;
  const [{ turn }] = await sql<[{ turn: bigint }]>`
    update run set concurrency_group = ${group}, concurrency_limit = ${limit}, cancels_older = ${onConflict === "cancel_older"},
      concurrency_turn = coalesce(concurrency_turn, nextval('run_turn')) where id = ${id}
    returning concurrency_turn as turn`;
  const ahead = await sql<{ number: bigint }[]>`
    select number from run
    where organization_id = ${organizationId} and project_id = ${projectId} and concurrency_group = ${group}
      and end_time is null and id <> ${id} and (admitted or concurrency_turn < ${turn})
    order by concurrency_turn limit ${limit}`;
  if (ahead.length === limit) return ahead[0]!.number;
  await sql`update run set admitted = true where id = ${id}`;
  return undefined;
}

/** Live runs that their groups would let begin now, those whose turn is first first. */
export async function listAdmissibleRuns(sql: SqlOrTransaction, limit: number): Promise<string[]> {
  const rows = await sql<{ id: string }[]>`
    select id from run
    where end_time is null and concurrency_turn is not null and not admitted and concurrency_limit > (
      select count(*) from run other
      where other.organization_id = run.organization_id and other.project_id = run.project_id
        and other.concurrency_group = run.concurrency_group and other.end_time is null and other.id <> run.id
        and other.concurrency_turn is not null and (other.admitted or other.concurrency_turn < run.concurrency_turn))
    order by concurrency_turn limit ${limit}`;
  return rows.map((row) => row.id);
}

/** Something that a newer one of its group ends. */
export type Superseded = { id: string; runId: string; group: string; newer: string };

/*
 * In what follows, the members of groups are gathered before they are put in order: otherwise a plan may walk all
 * that lives in its order, a hundred thousand jobs that wait, to find that none has a group.
 */

/** Live runs that newer ones of their groups end: beyond the group's limit, the oldest. */
export async function listSupersededRuns(sql: SqlOrTransaction, limit: number): Promise<Superseded[]> {
  return sql<Superseded[]>`
    with member as materialized (
      select id, organization_id, project_id, concurrency_group, concurrency_limit, concurrency_turn from run
      where end_time is null and concurrency_turn is not null and not cancel_requested
    )
    select run.id, run.id as "runId", run.concurrency_group as "group", newer.number::text as newer
    from member run cross join lateral (
      select other.number from run other
      where other.organization_id = run.organization_id and other.project_id = run.project_id
        and other.concurrency_group = run.concurrency_group and other.end_time is null and other.cancels_older
        and other.concurrency_turn > run.concurrency_turn
      order by other.concurrency_turn offset greatest(run.concurrency_limit - 1, 0) limit 1) newer
    order by run.concurrency_turn limit ${limit}`;
}

/** Live jobs that newer ones of their groups end; the jobs of one run are of one age, and leave each other alone. */
export async function listSupersededJobs(sql: SqlOrTransaction, limit: number): Promise<Superseded[]> {
  return sql<Superseded[]>`
    with member as materialized (
      select id, key, run_id, organization_id, project_id, concurrency_group, concurrency_limit from job
      where concurrency_group <> '' and state in ('queued', 'running') and not stop_requested
    )
    select job.id, job.run_id as "runId", job.concurrency_group as "group", newer.name as newer
    from member job cross join lateral (
      select other.run_number || '/' || other.name as name from job other
      where other.organization_id = job.organization_id and other.project_id = job.project_id
        and other.concurrency_group = job.concurrency_group and other.concurrency_group <> '' and other.cancels_older
        and other.state in ('queued', 'running') and other.run_id <> job.run_id and other.key > job.key
      order by other.key offset greatest(job.concurrency_limit - 1, 0) limit 1) newer
    order by job.key limit ${limit}`;
}
