import { AgynError } from "../domain/errors.ts";
import { rankBetween, rankLimit_characters } from "../domain/rank.ts";
import type { NoneVerdict } from "../domain/selection.ts";
import type { SqlOrTransaction } from "./database.ts";
import { jobColumns, type JobRow } from "./jobs.ts";
import { cut, decodeCursor, type Page } from "./paging.ts";

/*
 * The order of an organization's queue: priority, then rank, then key. Moves of one organization take turns, so that two
 * people who drag at once cannot give two jobs one rank; each writes one row, or where a gap is used up, its neighbourhood.
 */

/** Where a job is to go. */
export type MoveTarget =
  | { kind: "before"; jobId: string }
  | { kind: "after"; jobId: string }
  | { kind: "top" }
  | { kind: "end" };

type Place = Pick<JobRow, "id" | "priority" | "rank" | "key">;

/** Jobs on each side that are ranked anew where there is no room between two. */
const neighbourhood = 50;

/** Moves a job that waits; `STATE` where it, or the one it is to stand beside, waits no more. */
export async function moveJob(
  sql: SqlOrTransaction,
  { id, organizationId }: Pick<JobRow, "id" | "organizationId">,
  target: MoveTarget,
): Promise<JobRow> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${organizationId}, 0))`;
  const [held] = await sql`select from job where id = ${id} and state = 'queued' for update`;
  if (!held) throw new AgynError("STATE", "the job is not in the queue any more");
  const [low, high] = await neighbours(sql, { id, organizationId }, target);
  const priority = priorityBetween(low, high, target);
  const within = [low, high].map((one) => (one?.priority === priority ? one.rank : undefined));
  const rank = rankBetween(within[0], within[1]);
  const row = await place(sql, id, { priority, rank });
  if (rank.length > rankLimit_characters) await rankAnew(sql, row);
  return (await getPlaced(sql, id))!;
}

/** The one it takes its priority from: that which was named, else its only neighbour, else its own. */
function priorityBetween(low: Place | undefined, high: Place | undefined, { kind }: MoveTarget): number {
  const nearest = kind === "before" || kind === "top" ? (high ?? low) : (low ?? high);
  return nearest?.priority ?? 0;
}

/** Between whom the job will stand, itself left out. */
async function neighbours(
  sql: SqlOrTransaction,
  { id, organizationId }: Pick<JobRow, "id" | "organizationId">,
  target: MoveTarget,
): Promise<[Place | undefined, Place | undefined]> {
  if (target.kind === "top") return [undefined, await edge(sql, { id, organizationId }, "first")];
  if (target.kind === "end") return [await edge(sql, { id, organizationId }, "last"), undefined];
  const [beside] = await sql<Place[]>`
    select id, priority, rank, key from job
    where id = ${target.jobId} and organization_id = ${organizationId} and state = 'queued'`;
  if (!beside) throw new AgynError("STATE", "the job to stand beside is not in the queue any more");
  if (beside.id === id) throw new AgynError("STATE", "a job cannot stand beside itself");
  const isBefore = target.kind === "before";
  const other = await next(sql, { id, organizationId, from: beside }, isBefore ? "back" : "on");
  return isBefore ? [other, beside] : [beside, other];
}

async function edge(
  sql: SqlOrTransaction,
  { id, organizationId }: Pick<JobRow, "id" | "organizationId">,
  which: "first" | "last",
): Promise<Place | undefined> {
  const order = which === "first" ? sql`priority desc, rank, key` : sql`priority, rank desc, key desc`;
  const [row] = await sql<Place[]>`
    select id, priority, rank, key from job
    where organization_id = ${organizationId} and state = 'queued' and id <> ${id} order by ${order} limit 1`;
  return row;
}

type From = Pick<JobRow, "id" | "organizationId"> & { from: Place };

async function next(
  sql: SqlOrTransaction,
  { id, organizationId, from }: From,
  way: "back" | "on",
): Promise<Place | undefined> {
  const [row] = await listFrom(sql, { organizationId, from, without: id, way, limit: 1 });
  return row;
}

type Listing = { organizationId: string; from: Place; without: string; way: "back" | "on"; limit: number };

async function listFrom(sql: SqlOrTransaction, listing: Listing): Promise<Place[]> {
  const { organizationId, from, without, way, limit } = listing;
  const { priority, rank, key } = from;
  if (way === "on") {
    return sql<Place[]>`
      select id, priority, rank, key from job
      where organization_id = ${organizationId} and state = 'queued' and id <> ${without}
        and priority <= ${priority} and (priority < ${priority} or (rank, key) > (${rank}, ${key}))
      order by priority desc, rank, key limit ${limit}`;
  }
  return sql<Place[]>`
    select id, priority, rank, key from job
    where organization_id = ${organizationId} and state = 'queued' and id <> ${without}
      and priority >= ${priority} and (priority > ${priority} or (rank, key) < (${rank}, ${key}))
    order by priority, rank desc, key desc limit ${limit}`;
}

async function place(
  sql: SqlOrTransaction,
  id: string,
  { priority, rank }: Pick<Place, "priority" | "rank">,
): Promise<JobRow> {
  const [row] = await sql<JobRow[]>`
    update job set priority = ${priority}, rank = ${rank}, change_xid = pg_current_xact_id()
    where id = ${id} returning ${jobColumns(sql)}`;
  return row!;
}

async function getPlaced(sql: SqlOrTransaction, id: string): Promise<JobRow | undefined> {
  const [row] = await sql<JobRow[]>`select ${jobColumns(sql)} from job where id = ${id}`;
  return row;
}

/** Spreads a job and those around it evenly over the room that they have together. */
async function rankAnew(sql: SqlOrTransaction, job: JobRow): Promise<void> {
  const listing = { organizationId: job.organizationId, from: job, without: job.id, limit: neighbourhood + 1 };
  const isNear = (one: Place) => one.priority === job.priority;
  const back = (await listFrom(sql, { ...listing, way: "back" })).filter(isNear);
  const on = (await listFrom(sql, { ...listing, way: "on" })).filter(isNear);
  const [low, high] = [back, on].map((side) => (side.length > neighbourhood ? side.pop()!.rank : undefined));
  const spread = [...back.toReversed(), job, ...on];
  const ranks = ranksBetween(spread.length, low, high);
  await sql`
    update job set rank = i.rank, change_xid = pg_current_xact_id()
    from unnest(${spread.map((one) => one.id)}::text[], ${ranks}::text[]) as i (id, rank)
    where job.id = i.id and job.state = 'queued'`;
}

/** So many ranks between two, in order. */
function ranksBetween(count: number, low: string | undefined, high: string | undefined): string[] {
  if (count === 0) return [];
  const middle = rankBetween(low, high);
  const before = Math.floor((count - 1) / 2);
  return [...ranksBetween(before, low, middle), middle, ...ranksBetween(count - 1 - before, middle, high)];
}

/** What a list of the queue is narrowed to; empty fields narrow nothing. */
export type QueueFilter = {
  organizationId: string;
  ids: readonly string[];
  projectId: string;
  labels: Record<string, string>;
  pipeline: string;
  verdict: NoneVerdict | "";
};

const matches = (sql: SqlOrTransaction, filter: QueueFilter) => sql`
  job.organization_id = ${filter.organizationId} and job.state = 'queued'
  and (${filter.ids.length === 0} or job.id = any(${[...filter.ids]}))
  and (${filter.projectId} = '' or job.project_id = ${filter.projectId})
  and job.labels @> ${sql.json(filter.labels)}
  and (${filter.verdict} = '' or job.verdict = ${filter.verdict})
  and (${filter.pipeline} = '' or exists (select from run where run.id = job.run_id and run.pipeline = ${filter.pipeline}))`;

/** In the order in which they are taken. */
export async function listQueuedJobs(sql: SqlOrTransaction, filter: QueueFilter, page: Page) {
  const [priority, rank, key] = decodeCursor(page.token, "queue")?.split(" ") ?? [];
  const after =
    key === undefined
      ? sql``
      : sql`and job.priority <= ${Number(priority)} and (job.priority < ${Number(priority)} or (job.rank, job.key) > (${rank!}, ${key}))`;
  const found = await sql<JobRow[]>`
    select ${jobColumns(sql)} from job where ${matches(sql, filter)} ${after}
    order by job.priority desc, job.rank, job.key limit ${page.size + 1}`;
  return cut("queue", found, page, (row) => `${row.priority} ${row.rank} ${row.key}`);
}

/** Every queued job that fits: for a bulk cancel. */
export async function listAllQueuedJobs(sql: SqlOrTransaction, filter: QueueFilter): Promise<JobRow[]> {
  return sql<JobRow[]>`select ${jobColumns(sql)} from job where ${matches(sql, filter)} order by job.run_id, job.key`;
}
