import type { PendingQuery, Row } from "postgres";
import { createId } from "../../../wire/ids.ts";
import type { DemandJson, LivePhase, TerminalPhase, WorkloadResult } from "../domain/workload.ts";
import { toArrayLiteral } from "./array-literal.ts";
import type { Sql, SqlOrTransaction } from "./database.ts";
import { isUniqueViolation } from "./unique.ts";

/*
 * The transitions of workloads, each one statement for a whole batch (I1, I2, I3, I10):
 *   start → pending | placed,  pending → placed,  placed → pending,  placed → starting → running → stopping,  live → ended.
 * What carries a fence changes nothing unless it is the live one. Placing is guarded by the leader's row: its epoch, so
 * that a former leader places nothing, and the fleet version, so that no placement rests on a fleet that operators have
 * changed since it was read.
 */

/** By which right a leader places. */
export type PlacingGuard = { epoch: bigint; fleetVersion: bigint };

/** What every batch of one replica shares. */
export type Writer = { replicaId: string; storeEpoch: number };

export type NewWorkload = {
  id: string;
  organizationId: string;
  name: string;
  labels: Record<string, string>;
  spec: Uint8Array;
  demand: DemandJson;
  maximumTries: number;
  retryOnLost: boolean;
  retryOnFailed: boolean;
  /** null: never. */
  lostAfter_ms: number | null;
  pendingTimeout_ms: number;
  createdBy: string;
  /** The runner picked for it; null where it is to wait. */
  runnerId: string | null;
  verdict: string;
  message: string;
};

export type StartedWorkload = {
  id: string;
  key: bigint;
  fence: bigint;
  phase: "pending" | "placed";
  createTime: Date;
};

/** Inserts workloads, placed where a runner was picked and the guard holds, else pending. One that is there stays. */
export async function startWorkloads(
  sql: Sql,
  writer: Writer,
  guard: PlacingGuard,
  workloads: readonly NewWorkload[],
): Promise<StartedWorkload[]> {
  const insert = (onConflict: PendingQuery<Row[]>) => insertWorkloads({ sql, writer, guard, onConflict }, workloads);
  // Looking for a conflict first costs each row a lookup and a second record in the log; nearly always there is none.
  return insert(sql``).catch((error: unknown) => {
    if (!isUniqueViolation(error)) throw error;
    return insert(sql`on conflict (id) do nothing`);
  });
}

type Insertion = { sql: Sql; writer: Writer; guard: PlacingGuard; onConflict: PendingQuery<Row[]> };

async function insertWorkloads(
  { sql, writer, guard, onConflict }: Insertion,
  workloads: readonly NewWorkload[],
): Promise<StartedWorkload[]> {
  return sql<StartedWorkload[]>`
    with guard as (
      select true as held from leader
      where name = 'orchestrator' and epoch = ${guard.epoch} and fleet_version = ${guard.fleetVersion}
        and expire_time > now() for share
    ), input as (
      select *, runner_id <> '' and exists (select from guard) as placed from unnest(
        ${column(workloads, (one) => one.id)}::text[], ${column(workloads, (one) => one.organizationId)}::text[],
        ${column(workloads, (one) => one.name)}::text[], ${column(workloads, (one) => JSON.stringify(one.labels))}::text[],
        ${column(workloads, (one) => Buffer.from(one.spec).toString("base64"))}::text[],
        ${column(workloads, (one) => JSON.stringify(one.demand))}::text[],
        ${column(workloads, (one) => one.maximumTries)}::int[], ${column(workloads, (one) => one.retryOnLost)}::boolean[],
        ${column(workloads, (one) => one.retryOnFailed)}::boolean[],
        ${column(workloads, (one) => one.lostAfter_ms ?? -1)}::bigint[],
        ${column(workloads, (one) => one.pendingTimeout_ms)}::bigint[], ${column(workloads, (one) => one.createdBy)}::text[],
        ${column(workloads, (one) => one.runnerId ?? "")}::text[], ${column(workloads, (one) => one.verdict)}::text[],
        ${column(workloads, (one) => one.message)}::text[]
      ) as i (id, organization_id, name, labels, spec, demand, maximum_tries, retry_on_lost, retry_on_failed, lost_after_ms,
        pending_timeout_ms, created_by, runner_id, verdict, message)
    )
    insert into workload (id, organization_id, name, labels, spec, demand, maximum_tries, retry_on_lost, retry_on_failed,
      lost_after_ms, pending_timeout_ms, created_by, runner_id, phase, fence, place_time, verdict, message, writer)
    select id, organization_id, name, labels::jsonb, decode(spec, 'base64'), demand::json, maximum_tries, retry_on_lost,
      retry_on_failed, nullif(lost_after_ms, -1), pending_timeout_ms, created_by, case when placed then runner_id end,
      case when placed then 'placed' else 'pending' end,
      case when placed then (${writer.storeEpoch}::bigint << 40) + nextval('fence_counter') else 0 end,
      case when placed then now() end, verdict, message, ${writer.replicaId}
    from input
    ${onConflict}
    returning id, key, fence, phase, create_time as "createTime"`;
}

/** Places pending workloads; answers those that were. */
export async function placeWorkloads(
  sql: Sql,
  writer: Writer,
  guard: PlacingGuard,
  picks: readonly { id: string; runnerId: string }[],
): Promise<{ id: string; fence: bigint }[]> {
  return sql<{ id: string; fence: bigint }[]>`
    with guard as (
      select true as held from leader
      where name = 'orchestrator' and epoch = ${guard.epoch} and fleet_version = ${guard.fleetVersion}
        and expire_time > now() for share
    )
    update workload w set phase = 'placed', runner_id = i.runner_id,
      fence = (${writer.storeEpoch}::bigint << 40) + nextval('fence_counter'),
      place_time = now(), verdict = '', message = '', writer = ${writer.replicaId}, change_xid = pg_current_xact_id()
    from unnest(${column(picks, (one) => one.id)}::text[], ${column(picks, (one) => one.runnerId)}::text[]) as i (id, runner_id)
    where w.id = i.id and w.phase = 'pending' and not w.stop_requested and exists (select from guard)
    returning w.id, w.fence`;
}

export type Unplacement = { id: string; fence: bigint; runnerId: string; message: string; excludeFor_ms: number };

/** A placement that its runner did not take goes back to pending; the pair is excluded for a while. */
export async function unplaceWorkloads(
  sql: SqlOrTransaction,
  writer: Writer,
  unplacements: readonly Unplacement[],
): Promise<string[]> {
  const rows = await sql<{ id: string }[]>`
    update workload w set phase = 'pending', runner_id = null, message = i.message, pend_time = now(), place_time = null,
      unreachable_since = null,
      excluded = case when i.exclude_ms = 0 then w.excluded else w.excluded
        || jsonb_build_object(i.runner_id, floor(extract(epoch from clock_timestamp()) * 1000 + i.exclude_ms)) end,
      writer = ${writer.replicaId}, change_xid = pg_current_xact_id()
    from unnest(${column(unplacements, (one) => one.id)}::text[], ${column(unplacements, (one) => one.fence)}::bigint[],
      ${column(unplacements, (one) => one.runnerId)}::text[], ${column(unplacements, (one) => one.message)}::text[],
      ${column(unplacements, (one) => one.excludeFor_ms)}::float8[]) as i (id, fence, runner_id, message, exclude_ms)
    where w.id = i.id and w.fence = i.fence and w.runner_id = i.runner_id and w.phase = 'placed'
    returning w.id`;
  return rows.map((row) => row.id);
}

export type Advance = {
  id: string;
  fence: bigint;
  runnerId: string;
  phase: Extract<LivePhase, "starting" | "running" | "stopping">;
  time: Date;
};

/** Moves live workloads on, never back; answers the ids whose fence is live. */
export async function advanceWorkloads(
  sql: SqlOrTransaction,
  writer: Writer,
  advances: readonly Advance[],
): Promise<Set<string>> {
  const rows = await sql<{ id: string }[]>`
    update workload w set
      phase = case when w.phase = 'placed' or w.phase = 'starting' and i.phase <> 'starting' or i.phase = 'stopping'
        then i.phase else w.phase end,
      start_time = case when i.phase = 'running' then coalesce(w.start_time, i.time) else w.start_time end,
      writer = ${writer.replicaId}, change_xid = pg_current_xact_id()
    from unnest(${column(advances, (one) => one.id)}::text[], ${column(advances, (one) => one.fence)}::bigint[],
      ${column(advances, (one) => one.runnerId)}::text[], ${column(advances, (one) => one.phase)}::text[],
      ${column(advances, (one) => one.time.toISOString())}::timestamptz[]) as i (id, fence, runner_id, phase, time)
    where w.id = i.id and w.fence = i.fence and w.runner_id = i.runner_id and w.phase <> 'pending'
    returning w.id`;
  return new Set(rows.map((row) => row.id));
}

/** An end: what it leads to, also in case people had asked for a stop. */
export type Ending = {
  id: string;
  fence: bigint;
  /** null: by the control plane, whoever holds it. */
  runnerId: string | null;
  phase: TerminalPhase;
  message: string;
  phaseIfStopped: TerminalPhase;
  messageIfStopped: string;
  result: WorkloadResult | null;
  /** Whether another try may follow. */
  mayRetry: boolean;
};

/** An end that the control plane decrees, whoever holds the workload and whoever asked for a stop before. */
export function decreedEnding(of: { id: string; fence: bigint }, phase: TerminalPhase, message: string): Ending {
  const terms = { phase, message, phaseIfStopped: phase, messageIfStopped: message };
  return { id: of.id, fence: of.fence, runnerId: null, ...terms, result: null, mayRetry: false };
}

/** The end of a workload whose runner is gone for good. */
export function lostEnding(of: { id: string; fence: bigint }, message: string, mayRetry: boolean): Ending {
  return { ...decreedEnding(of, "lost", message), mayRetry };
}

export type Ended = {
  id: string;
  fence: bigint;
  phase: TerminalPhase;
  runnerId: string | null;
  retriedBy: string | null;
  organizationId: string;
};

/**
 * Ends workloads: each moves to the history, and where its retry policy says so the next try is inserted in the same
 * statement, so that neither can be without the other. Answers those that were live with this fence.
 */
export async function endWorkloads(
  sql: SqlOrTransaction,
  writer: Writer,
  endings: readonly Ending[],
): Promise<Ended[]> {
  const retried = sql`, retried as (
      insert into workload (id, organization_id, name, labels, spec, demand, phase, try, retry_of, maximum_tries,
        retry_on_lost, retry_on_failed, lost_after_ms, pending_timeout_ms, created_by, excluded, writer)
      select retry_id, organization_id, name, labels, spec, demand, 'pending', try + 1, id, maximum_tries, retry_on_lost,
        retry_on_failed, lost_after_ms, pending_timeout_ms, created_by, excluded, ${writer.replicaId}
      from gone where retry_id is not null
    )`;
  return sql<Ended[]>`
    with gone as (
      delete from workload w using unnest(
        ${column(endings, (one) => one.id)}::text[], ${column(endings, (one) => one.fence)}::bigint[],
        ${column(endings, (one) => one.runnerId ?? "")}::text[], ${column(endings, (one) => one.phase)}::text[],
        ${column(endings, (one) => one.message)}::text[], ${column(endings, (one) => one.phaseIfStopped)}::text[],
        ${column(endings, (one) => one.messageIfStopped)}::text[],
        ${column(endings, (one) => (one.result === null ? "" : JSON.stringify(one.result)))}::text[],
        ${column(endings, (one) => one.result?.startTime_ms ?? -1)}::float8[],
        ${column(endings, (one) => one.result?.endTime_ms ?? -1)}::float8[],
        ${column(endings, (one) => (one.mayRetry ? createId("workload") : ""))}::text[]
      ) as i (id, fence, runner_id, phase, message, stopped_phase, stopped_message, result, start_ms, end_ms, retry_id)
      where w.id = i.id and w.fence = i.fence and (i.runner_id = '' or w.runner_id = i.runner_id)
      returning w.key, w.id, w.organization_id, w.name, w.labels, w.spec, w.demand,
        case when w.stop_requested then i.stopped_phase else i.phase end as phase,
        case when w.stop_requested then i.stopped_message else i.message end as message,
        w.verdict, w.runner_id, w.fence, w.try, w.retry_of,
        case when i.retry_id <> '' and not w.stop_requested and w.try < w.maximum_tries
          and (i.phase = 'lost' and w.retry_on_lost or i.phase = 'failed' and w.retry_on_failed) then i.retry_id
        end as retry_id,
        w.maximum_tries, w.retry_on_lost, w.retry_on_failed, w.lost_after_ms, w.stop_requested, w.stop_grace_ms,
        w.stop_reason, w.excluded, w.unreachable_since, w.pending_timeout_ms, w.create_time, w.pend_time, w.place_time,
        coalesce(w.start_time, to_timestamp(nullif(i.start_ms, -1) / 1000)) as start_time,
        coalesce(to_timestamp(nullif(i.end_ms, -1) / 1000), now()) as end_time,
        nullif(i.result, '')::json as result, w.created_by
    )${endings.some((one) => one.mayRetry) ? retried : sql``}
    insert into workload_history (key, id, organization_id, name, labels, spec, demand, phase, message, verdict, runner_id,
      fence, try, retry_of, retried_by, maximum_tries, retry_on_lost, retry_on_failed, lost_after_ms, stop_requested,
      stop_grace_ms, stop_reason, excluded, unreachable_since, pending_timeout_ms, create_time, pend_time, place_time,
      start_time, end_time, result, created_by, writer, change_xid)
    select *, ${writer.replicaId}, pg_current_xact_id() from gone
    returning id, fence, phase, runner_id as "runnerId", retried_by as "retriedBy", organization_id as "organizationId"`;
}

/** One column of a batch, for `unnest`. */
function column<T>(rows: readonly T[], value: (one: T) => string | number | bigint | boolean): string {
  return toArrayLiteral(rows.map(value));
}
