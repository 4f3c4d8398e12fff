import { createId } from "../../../wire/ids.ts";
import type { DemandJson, LivePhase, TerminalPhase, WorkloadResult } from "../domain/workload.ts";
import type { Sql, SqlOrTransaction } from "./database.ts";

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
  return sql<StartedWorkload[]>`
    with guard as (
      select true as held from leader
      where name = 'orchestrator' and epoch = ${guard.epoch} and fleet_version = ${guard.fleetVersion}
        and expire_time > now() for share
    ), input as (
      select *, runner_id <> '' and exists (select from guard) as placed from unnest(
        ${workloads.map((one) => one.id)}::text[], ${workloads.map((one) => one.organizationId)}::text[],
        ${workloads.map((one) => one.name)}::text[], ${workloads.map((one) => JSON.stringify(one.labels))}::text[],
        ${workloads.map((one) => Buffer.from(one.spec).toString("base64"))}::text[],
        ${workloads.map((one) => JSON.stringify(one.demand))}::text[],
        ${workloads.map((one) => one.maximumTries)}::int[], ${workloads.map((one) => String(one.retryOnLost))}::text[]::boolean[],
        ${workloads.map((one) => String(one.retryOnFailed))}::text[]::boolean[],
        ${workloads.map((one) => String(one.lostAfter_ms ?? -1))}::bigint[],
        ${workloads.map((one) => String(one.pendingTimeout_ms))}::bigint[], ${workloads.map((one) => one.createdBy)}::text[],
        ${workloads.map((one) => one.runnerId ?? "")}::text[], ${workloads.map((one) => one.verdict)}::text[],
        ${workloads.map((one) => one.message)}::text[]
      ) as i (id, organization_id, name, labels, spec, demand, maximum_tries, retry_on_lost, retry_on_failed, lost_after_ms,
        pending_timeout_ms, created_by, runner_id, verdict, message)
    )
    insert into workload (id, organization_id, name, labels, spec, demand, maximum_tries, retry_on_lost, retry_on_failed,
      lost_after_ms, pending_timeout_ms, created_by, runner_id, phase, fence, place_time, verdict, message, writer)
    select id, organization_id, name, labels::jsonb, decode(spec, 'base64'), demand::jsonb, maximum_tries, retry_on_lost,
      retry_on_failed, nullif(lost_after_ms, -1), pending_timeout_ms, created_by, case when placed then runner_id end,
      case when placed then 'placed' else 'pending' end,
      case when placed then (${writer.storeEpoch}::bigint << 40) + nextval('fence_counter') else 0 end,
      case when placed then now() end, verdict, message, ${writer.replicaId}
    from input
    on conflict (id) do nothing
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
    from unnest(${picks.map((one) => one.id)}::text[], ${picks.map((one) => one.runnerId)}::text[]) as i (id, runner_id)
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
    from unnest(${unplacements.map((one) => one.id)}::text[], ${unplacements.map((one) => String(one.fence))}::bigint[],
      ${unplacements.map((one) => one.runnerId)}::text[], ${unplacements.map((one) => one.message)}::text[],
      ${unplacements.map((one) => one.excludeFor_ms)}::float8[]) as i (id, fence, runner_id, message, exclude_ms)
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
      phase = case when array_position(array['placed', 'starting', 'running', 'stopping'], i.phase)
        > array_position(array['placed', 'starting', 'running', 'stopping'], w.phase) then i.phase else w.phase end,
      start_time = case when i.phase = 'running' then coalesce(w.start_time, i.time) else w.start_time end,
      writer = ${writer.replicaId}, change_xid = pg_current_xact_id()
    from unnest(${advances.map((one) => one.id)}::text[], ${advances.map((one) => String(one.fence))}::bigint[],
      ${advances.map((one) => one.runnerId)}::text[], ${advances.map((one) => one.phase)}::text[],
      ${advances.map((one) => one.time.toISOString())}::timestamptz[]) as i (id, fence, runner_id, phase, time)
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
  return sql<Ended[]>`
    with input as (
      select * from unnest(
        ${endings.map((one) => one.id)}::text[], ${endings.map((one) => String(one.fence))}::bigint[],
        ${endings.map((one) => one.runnerId ?? "")}::text[], ${endings.map((one) => one.phase)}::text[],
        ${endings.map((one) => one.message)}::text[], ${endings.map((one) => one.phaseIfStopped)}::text[],
        ${endings.map((one) => one.messageIfStopped)}::text[],
        ${endings.map((one) => (one.result === null ? "" : JSON.stringify(one.result)))}::text[],
        ${endings.map((one) => (one.mayRetry ? createId("workload") : ""))}::text[]
      ) as i (i_id, i_fence, i_runner_id, i_phase, i_message, s_phase, s_message, i_result, i_retry_id)
    ), gone as (
      delete from workload w using input i
      where w.id = i.i_id and w.fence = i.i_fence and (i.i_runner_id = '' or w.runner_id = i.i_runner_id)
      returning w.*, i.*
    ), decided as (
      select *, case when stop_requested then s_phase else i_phase end as end_phase,
        case when stop_requested then s_message else i_message end as end_message,
        case when i_retry_id <> '' and not stop_requested and try < maximum_tries
          and ((i_phase = 'lost' and retry_on_lost) or (i_phase = 'failed' and retry_on_failed)) then i_retry_id
        end as retry_id
      from gone
    ), retried as (
      insert into workload (id, organization_id, name, labels, spec, demand, phase, try, retry_of, maximum_tries,
        retry_on_lost, retry_on_failed, lost_after_ms, pending_timeout_ms, created_by, excluded, writer)
      select retry_id, organization_id, name, labels, spec, demand, 'pending', try + 1, id, maximum_tries, retry_on_lost,
        retry_on_failed, lost_after_ms, pending_timeout_ms, created_by, excluded, ${writer.replicaId}
      from decided where retry_id is not null
    )
    insert into workload_history (key, id, organization_id, name, labels, spec, demand, phase, message, verdict, runner_id,
      fence, try, retry_of, retried_by, maximum_tries, retry_on_lost, retry_on_failed, lost_after_ms, stop_requested,
      stop_grace_ms, stop_reason, excluded, unreachable_since, pending_timeout_ms, create_time, pend_time, place_time,
      start_time, end_time, result, created_by, writer, change_xid)
    select key, id, organization_id, name, labels, spec, demand, end_phase, end_message, verdict, runner_id,
      fence, try, retry_of, retry_id, maximum_tries, retry_on_lost, retry_on_failed, lost_after_ms, stop_requested,
      stop_grace_ms, stop_reason, excluded, unreachable_since, pending_timeout_ms, create_time, pend_time, place_time,
      coalesce(start_time, to_timestamp((nullif(i_result, '')::jsonb ->> 'startTime_ms')::float8 / 1000)),
      coalesce(to_timestamp((nullif(i_result, '')::jsonb ->> 'endTime_ms')::float8 / 1000), now()),
      nullif(i_result, '')::jsonb, created_by, ${writer.replicaId}, pg_current_xact_id()
    from decided
    returning id, fence, phase, runner_id as "runnerId", retried_by as "retriedBy", organization_id as "organizationId"`;
}
