import { AgynError } from "../domain/errors.ts";
import { endOfTurn, rankBetween, rankLimit_characters, ranksBetween } from "../domain/rank.ts";
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

/** Moves a job that waits, and answers what changed, the job first; `STATE` where it, or the one it is to stand beside, waits no more. */
export async function moveJob(
  sql: SqlOrTransaction,
  { id, organizationId }: Pick<JobRow, "id" | "organizationId">,
  target: MoveTarget,
): Promise<JobRow[]> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${`queue ${organizationId}`}, 0))`;
  const [low, high] = await neighbours(sql, { id, organizationId }, target);
  const priority = priorityBetween(low, high, target) ?? (await priorityOf(sql, id));
  const [before, after] = [low, high].map((one) => (one?.priority === priority ? one : undefined));
  const rank = rankWithin(before?.rank, after?.rank ?? (before && endOfTurn(before.rank)));
  if (rank !== undefined) return place(sql, [{ id, priority, rank }], id);
  return place(sql, await rankAnew(sql, { id, organizationId, priority }, { before, after }), id);
}

/** The one it takes its priority from: that which was named, else its only neighbour. */
function priorityBetween(low: Place | undefined, high: Place | undefined, { kind }: MoveTarget): number | undefined {
  const nearest = kind === "before" || kind === "top" ? (high ?? low) : (low ?? high);
  return nearest?.priority;
}

/** Of a job that has no neighbour. */
async function priorityOf(sql: SqlOrTransaction, id: string): Promise<number> {
  const [row] = await sql<{ priority: number }[]>`select priority from job where id = ${id}`;
  return row?.priority ?? 0;
}

/** `undefined` where there is no room. */
function rankWithin(low: string | undefined, high: string | undefined): string | undefined {
  if (low !== undefined && high !== undefined && low >= high) return undefined;
  const rank = rankBetween(low, high);
  return rank.length > rankLimit_characters ? undefined : rank;
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
  const waiting = sql`
    select id, priority, rank, key from job
    where organization_id = ${organizationId} and state = 'queued' and id <> ${without}`;
  // Each half is a walk along the index from where it begins; one condition for both would walk from the queue's end.
  const [halves, order] =
    way === "on"
      ? [[sql`(rank, key) > (${rank}, ${key})`, sql`priority < ${priority}`], sql`priority desc, rank, key`]
      : [[sql`(rank, key) < (${rank}, ${key})`, sql`priority > ${priority}`], sql`priority, rank desc, key desc`];
  return sql<Place[]>`
    select * from (
      (${waiting} and priority = ${priority} and ${halves[0]!} order by ${order} limit ${limit})
      union all
      (${waiting} and ${halves[1]!} order by ${order} limit ${limit})
    ) as place
    order by ${order} limit ${limit}`;
}

type Placing = Pick<Place, "id" | "priority" | "rank">;

/**
 * Gives jobs their places, as far as they still wait, and answers their records; `STATE` where the moved one does not. Locked
 * by key, as whoever takes a run on locks them, so that the two cannot wait for each other.
 */
async function place(sql: SqlOrTransaction, places: readonly Placing[], movedId: string): Promise<JobRow[]> {
  const ids = places.map((one) => one.id);
  const rows = await sql<JobRow[]>`
    with held as (
      select key from job where id = any(${ids}) and state = 'queued' order by key for update
    )
    update job set priority = i.priority, rank = i.rank, change_xid = pg_current_xact_id()
    from held, unnest(${ids}::text[], ${places.map((one) => one.priority)}::int[], ${places.map((one) => one.rank)}::text[])
      as i (id, priority, rank)
    where job.key = held.key and job.id = i.id
    returning ${jobColumns(sql)}`;
  if (!rows.some((row) => row.id === movedId)) throw new AgynError("STATE", "the job is not in the queue any more");
  return rows.toSorted((a, b) => Number(b.id === movedId) - Number(a.id === movedId));
}

/** Spreads a job and those around its new place evenly over the room that they have together. */
async function rankAnew(
  sql: SqlOrTransaction,
  moved: Pick<Place, "id" | "priority"> & Pick<JobRow, "organizationId">,
  { before, after }: { before: Place | undefined; after: Place | undefined },
): Promise<Placing[]> {
  const { id, priority } = moved;
  const around = async (from: Place | undefined, way: "back" | "on") => {
    if (!from) return [];
    const listing = { organizationId: moved.organizationId, without: id, limit: neighbourhood };
    const further = await listFrom(sql, { ...listing, from, way });
    return [from, ...further].filter((one) => one.priority === priority);
  };
  const back = await around(before, "back");
  const on = await around(after, "on");
  const low = back.length > neighbourhood ? back.pop()!.rank : undefined;
  const high = on.length > neighbourhood ? on.pop()!.rank : undefined;
  const spread = [...back.toReversed(), { id }, ...on];
  const last = on.at(-1) ?? before;
  const ranks = ranksBetween(spread.length, low, high ?? (last && endOfTurn(last.rank)));
  return spread.map((one, index) => ({ id: one.id, priority, rank: ranks[index]! }));
}

/** After which tag a project's next job joins its organization's queue, and how far after: 1 / `weight`. */
export type Turn = { last: number; weight: number };

/** Not before what is next in the organization, nor before the project's own last; the weight is 1 for what is of no project. */
export const turnColumns = (sql: SqlOrTransaction, organizationId: string, projectId: string) => sql`
  greatest(
    (select min(tag) from job where organization_id = ${organizationId} and state = 'queued'),
    (select max(tag) from job where organization_id = ${organizationId} and project_id = ${projectId} and state = 'queued'),
    0) as last, coalesce((select weight from project where project.id = ${projectId}), 1) as weight`;

export async function getTurn(sql: SqlOrTransaction, organizationId: string, projectId: string): Promise<Turn> {
  const [turn] = await sql<Turn[]>`select ${turnColumns(sql, organizationId, projectId)}`;
  return turn!;
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
  const limit = page.size + 1;
  const part = (after: ReturnType<typeof matches>) => sql`
    (select ${jobColumns(sql)} from job where ${matches(sql, filter)} ${after}
    order by job.priority desc, job.rank, job.key limit ${limit})`;
  const found =
    key === undefined
      ? await sql<JobRow[]>`${part(sql``)}`
      : await sql<JobRow[]>`
          select * from (
            ${part(sql`and job.priority = ${Number(priority)} and (job.rank, job.key) > (${rank!}, ${key})`)}
            union all
            ${part(sql`and job.priority < ${Number(priority)}`)}
          ) as page
          order by priority desc, rank, key limit ${limit}`;
  return cut("queue", found, page, (row) => `${row.priority} ${row.rank} ${row.key}`);
}

/** Every queued job that fits: for a bulk cancel. */
export async function listAllQueuedJobs(sql: SqlOrTransaction, filter: QueueFilter): Promise<JobRow[]> {
  return sql<JobRow[]>`select ${jobColumns(sql)} from job where ${matches(sql, filter)} order by job.run_id, job.key`;
}
