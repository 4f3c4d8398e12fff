import type { DemandJson, Phase, WorkloadResult } from "../domain/workload.ts";
import { toArrayLiteral } from "./array-literal.ts";
import { column } from "./batch.ts";
import type { SqlOrTransaction } from "./database.ts";
import { hasKey } from "./workload-transitions.ts";
import { cut, decodeCursor, type Page } from "./paging.ts";

/** What deciding about a workload needs of its record. What may be large, and is its runner's or people's, is left out. */
export type WorkloadHead = {
  key: bigint;
  id: string;
  organizationId: string;
  name: string;
  demand: DemandJson;
  /** Bytes of its spec and of its demand, as they are stored. */
  size_bytes: number;
  phase: Phase;
  message: string;
  verdict: string;
  runnerId: string | null;
  fence: bigint;
  try: number;
  retryOf: string | null;
  retriedBy: string | null;
  maximumTries: number;
  retryOnLost: boolean;
  retryOnFailed: boolean;
  /** null: never. */
  lostAfter_ms: bigint | null;
  stopRequested: boolean;
  stopGrace_ms: number | null;
  stopReason: string;
  /** Runner id → until when it is passed over, in ms since 1970. */
  excluded: Record<string, number>;
  unreachableSince: Date | null;
  pendingTimeout_ms: bigint;
  createTime: Date;
  pendTime: Date;
  placeTime: Date | null;
  startTime: Date | null;
  endTime: Date | null;
  result: WorkloadResult | null;
  createdBy: string;
  /** The job that it is a try of, and its run. */
  runId: string | null;
  jobId: string | null;
  /** The transaction of the last change. */
  changeXid: string;
};

/** A workload's whole record, live or ended. */
export type WorkloadRow = WorkloadHead & {
  labels: Record<string, string>;
  /** The contract's WorkloadSpec in binary, values of secret variables sealed. */
  spec: Uint8Array;
};

/** The columns as `WorkloadHead` spells them. The size of a spec is known without reading it. */
const headColumns = (sql: SqlOrTransaction) => sql`
  key, id, organization_id as "organizationId", name, demand, octet_length(spec) + octet_length(demand::text) as "size_bytes", phase, message, verdict, runner_id as "runnerId", fence, try,
  retry_of as "retryOf", retried_by as "retriedBy", maximum_tries as "maximumTries", retry_on_lost as "retryOnLost",
  retry_on_failed as "retryOnFailed", lost_after_ms as "lostAfter_ms", stop_requested as "stopRequested", stop_grace_ms as "stopGrace_ms",
  stop_reason as "stopReason", excluded, unreachable_since as "unreachableSince", pending_timeout_ms as "pendingTimeout_ms",
  create_time as "createTime", pend_time as "pendTime", place_time as "placeTime", start_time as "startTime", end_time as "endTime", result,
  created_by as "createdBy", run_id as "runId", job_id as "jobId", change_xid::text as "changeXid"`;

const workloadColumns = (sql: SqlOrTransaction) => sql`${headColumns(sql)}, labels, spec`;

/**
 * By id, whoever's it is: whether the caller may see it is to be asked of what comes back. `undefined` where there is none. Live or
 * ended.
 */
export async function getWorkload(sql: SqlOrTransaction, id: string): Promise<WorkloadRow | undefined> {
  const [row] = await sql<WorkloadRow[]>`select ${workloadColumns(sql)} from any_workload
    where (organization_id, key) = (select organization_id, key from workload where id = ${id})`;
  return row;
}

/** What a reference may mean: exact id; else the name of the newest in the organization; else an id prefix. */
export async function findWorkloads(
  sql: SqlOrTransaction,
  reference: string,
  organizationId: string | undefined,
): Promise<WorkloadRow[]> {
  const exact = await getWorkload(sql, reference);
  if (exact) return [exact];
  if (organizationId === undefined) return [];
  const named = await sql<WorkloadRow[]>`
    select ${workloadColumns(sql)} from any_workload
    where organization_id = ${organizationId} and key = (
      select key from workload where organization_id = ${organizationId} and name = ${reference} and name <> ''
      order by key desc limit 1)`;
  if (named.length > 0 || !reference.startsWith("wkl_")) return named;
  return sql<WorkloadRow[]>`
    select ${workloadColumns(sql)} from any_workload
    where organization_id = ${organizationId} and key = any(array(
      select key from workload
      where id >= ${reference} and id < ${reference} || '{' and organization_id = ${organizationId} limit 5))`;
}

export type WorkloadFilter = {
  organizationId: string;
  phases: readonly Phase[];
  runnerId: string;
  labels: Record<string, string>;
};

/** Newest first. */
export async function listWorkloads(sql: SqlOrTransaction, filter: WorkloadFilter, page: Page) {
  const before = decodeCursor(page.token, "workload");
  const rows = await sql<WorkloadRow[]>`
    select ${workloadColumns(sql)} from any_workload
    where organization_id = ${filter.organizationId}
      and (${filter.phases.length === 0} or phase = any(${[...filter.phases]}))
      and (${filter.runnerId} = '' or runner_id = ${filter.runnerId})
      and labels @> ${sql.json(filter.labels)}
      and (${before ?? null}::bigint is null or key < ${before ?? null}::bigint)
    order by key desc limit ${page.size + 1}`;
  return cut("workload", rows, page, ({ key }) => String(key));
}

/** All live ones, oldest first. */
export async function listLiveWorkloads(sql: SqlOrTransaction): Promise<WorkloadHead[]> {
  return sql<WorkloadHead[]>`select ${headColumns(sql)} from live_workload order by key`;
}

/** The keys of the live ones of an organization, oldest first. */
export async function listLiveKeysOf(sql: SqlOrTransaction, organizationId: string): Promise<bigint[]> {
  const rows = await sql<{ key: bigint }[]>`
    select key from live_workload where organization_id = ${organizationId} order by key`;
  return rows.map(({ key }) => key);
}

/** Those bound to a runner. */
export async function listWorkloadsOfRunner(sql: SqlOrTransaction, runnerId: string): Promise<WorkloadHead[]> {
  return sql<WorkloadHead[]>`
    select ${headColumns(sql)} from live_workload where runner_id = ${runnerId} and phase <> 'pending' order by key`;
}

/** Of the runners, the workloads that they are to be told of: placed, or asked to stop. */
export async function listDeliverable(sql: SqlOrTransaction, runnerIds: readonly string[]): Promise<WorkloadHead[]> {
  if (runnerIds.length === 0) return [];
  return sql<WorkloadHead[]>`
    select ${headColumns(sql)} from live_workload
    where runner_id = any(${[...runnerIds]}) and (phase = 'placed' or (stop_requested and phase <> 'pending'))
    order by key`;
}

/** Those with these keys, whole. */
export async function listWorkloadsByKey(sql: SqlOrTransaction, keys: readonly bigint[]): Promise<WorkloadRow[]> {
  return sql<WorkloadRow[]>`
    select ${workloadColumns(sql)} from live_workload where key = any(${toArrayLiteral(keys)}::bigint[]) order by key`;
}

/** Those with these keys that live. */
export async function listHeadsByKey(sql: SqlOrTransaction, keys: readonly bigint[]): Promise<WorkloadHead[]> {
  if (keys.length === 0) return [];
  return sql<WorkloadHead[]>`
    select ${headColumns(sql)} from live_workload where key = any(${toArrayLiteral(keys)}::bigint[]) order by key`;
}

/** Which of these have ended under their fence on their runner. */
export async function filterEnded<Of extends { id: string; fence: bigint; runnerId: string }>(
  sql: SqlOrTransaction,
  ofs: readonly Of[],
): Promise<Set<Of>> {
  if (ofs.length === 0) return new Set();
  const rows = await sql<{ place: bigint }[]>`
    select i.place from unnest(${column(ofs, (one) => one.id)}::text[], ${column(ofs, (one) => one.fence)}::bigint[],
      ${column(ofs, (one) => one.runnerId)}::text[]) with ordinality as i (id, fence, runner_id, place)
    cross join lateral (select organization_id, key from workload where id = i.id offset 0) w
    cross join lateral (
      select fence, runner_id from workload_end where organization_id = w.organization_id and key = w.key offset 0) e
    where e.fence = i.fence and e.runner_id = i.runner_id`;
  return new Set(rows.map(({ place }) => ofs[Number(place) - 1]!));
}

/** The ids of those with these keys that wait for a runner. */
export async function listWaitingIds(sql: SqlOrTransaction, keys: readonly bigint[]): Promise<string[]> {
  const rows = await sql<{ id: string }[]>`
    select id from workload_life
    where key = any(${toArrayLiteral(keys)}::bigint[]) and phase = 'pending' and not stop_requested`;
  return rows.map((row) => row.id);
}

/** Records whose last change was made by another replica, in `fromXid` or a later transaction, as far as visible. */
export async function listChangesOfOthers(
  sql: SqlOrTransaction,
  replicaId: string,
  fromXid: string,
): Promise<WorkloadHead[]> {
  return sql<WorkloadHead[]>`
    select ${headColumns(sql)} from any_workload
    where change_xid >= ${fromXid}::xid8 and writer <> ${replicaId} order by key`;
}

/** Records that were changed by `fromXid` or a later transaction, as far as visible. */
export async function listChangedWorkloads(sql: SqlOrTransaction, fromXid: string): Promise<WorkloadRow[]> {
  return sql<WorkloadRow[]>`
    select ${workloadColumns(sql)} from any_workload where change_xid >= ${fromXid}::xid8 order by key`;
}

/** Of one organization, at most `limit` records that were changed by `fromXid` or a later transaction, as far as visible. */
export async function listChangedWorkloadsOf(
  sql: SqlOrTransaction,
  organizationId: string,
  fromXid: string,
  limit: number,
): Promise<WorkloadRow[]> {
  return sql<WorkloadRow[]>`
    select ${workloadColumns(sql)} from any_workload
    where change_xid >= ${fromXid}::xid8 and organization_id = ${organizationId} order by change_xid, key limit ${limit}`;
}

/** The oldest transaction that is still under way, in any database of the cluster: what is before it has ended. */
export async function getHorizon(sql: SqlOrTransaction): Promise<string> {
  const [row] = await sql<{ horizon: string }[]>`select pg_snapshot_xmin(pg_current_snapshot())::text as horizon`;
  return row!.horizon;
}

/** Notes that people want a workload's end; the record afterwards, or nothing where it has ended. */
export async function requestStop(
  sql: SqlOrTransaction,
  id: string,
  stop: { grace_ms: number | null; reason: string; writer: string },
): Promise<WorkloadRow | undefined> {
  await sql`
    update workload_life l set stop_requested = true, stop_grace_ms = ${stop.grace_ms}, stop_reason = ${stop.reason},
      writer = ${stop.writer}, change_xid = pg_current_xact_id()
    where ${hasKey(sql, sql`(select key from workload where id = ${id})`)}`;
  const [row] = await sql<
    WorkloadRow[]
  >`select ${workloadColumns(sql)} from live_workload where key = (select key from workload where id = ${id})`;
  return row;
}

/**
 * Notes since when the workloads of absent runners are out of reach: `lease_ms` before their leases ended. Belongs in the transaction
 * that found them absent, so that no absence is seen without it, and no runner comes back in between.
 */
export async function markUnreachable(
  sql: SqlOrTransaction,
  runnerIds: readonly string[],
  absence: { lease_ms: number; writer: string },
): Promise<void> {
  await sql`
    update workload_life l set unreachable_since = r.lease_time - ${absence.lease_ms}::float8 * interval '1 millisecond',
      writer = ${absence.writer}, change_xid = pg_current_xact_id()
    from runner r
    where r.id = any(${[...runnerIds]}) and l.runner_id = r.id and l.phase <> 'pending' and l.unreachable_since is null`;
}

/** The runner is back: its workloads are in reach again. */
export async function markReachable(sql: SqlOrTransaction, runnerId: string, writer: string): Promise<void> {
  await sql`
    update workload_life set unreachable_since = null, writer = ${writer}, change_xid = pg_current_xact_id()
    where runner_id = ${runnerId} and unreachable_since is not null`;
}

/** Time in which the control plane was down does not count towards a loss. */
export async function shiftUnreachable(sql: SqlOrTransaction, gap_ms: number): Promise<void> {
  await sql`
    update workload_life set unreachable_since = unreachable_since + ${gap_ms}::float8 * interval '1 millisecond'
    where unreachable_since is not null`;
}

/** Live workloads that have been out of reach for longer than they and the margin allow. */
export async function listOverdue(
  sql: SqlOrTransaction,
  margin: { least_ms: number; share: number },
): Promise<Pick<WorkloadRow, "id" | "fence" | "runnerId">[]> {
  return sql<Pick<WorkloadRow, "id" | "fence" | "runnerId">[]>`
    select id, fence, runner_id as "runnerId" from live_workload
    where unreachable_since is not null and lost_after_ms is not null
      and unreachable_since + (lost_after_ms + greatest(${margin.least_ms}::float8, lost_after_ms * ${margin.share}::float8))
        * interval '1 millisecond' < now()
    limit 1000`;
}

/** Pending workloads that have waited for as long as they may, or that people asked to stop while a runner seemed to have them. */
export async function listExpiredPending(sql: SqlOrTransaction): Promise<WorkloadHead[]> {
  return sql<WorkloadHead[]>`
    select ${headColumns(sql)} from live_workload
    where phase = 'pending' and (stop_requested or pend_time + pending_timeout_ms * interval '1 millisecond' < now()) limit 1000`;
}

/** Shows people why workloads wait. */
export async function recordWaiting(
  sql: SqlOrTransaction,
  waits: readonly { key: bigint; verdict: string; message: string }[],
  writer: string,
): Promise<void> {
  await sql`
    update workload_life l set verdict = i.verdict, message = i.message, writer = ${writer}, change_xid = pg_current_xact_id()
    from unnest(${toArrayLiteral(waits.map((one) => one.key))}::bigint[], ${waits.map((one) => one.verdict)}::text[],
      ${waits.map((one) => one.message)}::text[]) as i (key, verdict, message)
    where ${hasKey(sql, sql`i.key`)} and l.phase = 'pending' and (l.verdict, l.message) is distinct from (i.verdict, i.message)`;
}
