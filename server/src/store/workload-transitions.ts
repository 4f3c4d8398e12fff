import type { PendingQuery, Row } from "postgres";
import { createId } from "../../../wire/ids.ts";
import type { LivePhase, TerminalPhase, WorkloadResult } from "../domain/workload.ts";
import { toArrayLiteral } from "./array-literal.ts";
import { column, kindColumn, kindsOf, unpack, type Answer } from "./batch.ts";
import type { Sql, SqlOrTransaction } from "./database.ts";

/*
 * The transitions of workloads, each one statement for a whole batch (I1, I2, I3, I10):
 *   pending → placed,  placed → pending,  placed → starting → running → stopping,  live → ended.
 * How they begin is in workload-starts.ts.
 * What carries a fence changes nothing unless it is the live one. Placing is guarded by the leader's row: its epoch, so
 * that a former leader places nothing, and the fleet version, so that no placement rests on a fleet that operators have
 * changed since it was read.
 */

/** By which right a leader places. */
export type PlacingGuard = { epoch: bigint; fleetVersion: bigint };

/** A placement; the spec is null where it was not asked for. */
type Placed = { id: string; fence: bigint; spec: Uint8Array | null };

/** What every batch of one replica shares. */
export type Writer = { replicaId: string; storeEpoch: number };

/** Places pending workloads; answers those that were, with the specs of those that are to be sent from here. */
export async function placeWorkloads(
  sql: Sql,
  writer: Writer,
  guard: PlacingGuard,
  picks: readonly { key: bigint; runnerId: string; isHere: boolean }[],
): Promise<Placed[]> {
  return sql<Placed[]>`
    with ${guarded(sql, guard)}
    update workload_life l set phase = 'placed', runner_id = i.runner_id, fence = ${nextFence(sql, writer)},
      place_time = now(), verdict = '', message = '', writer = ${writer.replicaId}, change_xid = pg_current_xact_id()
    from unnest(${column(picks, (one) => one.key)}::bigint[], ${column(picks, (one) => one.runnerId)}::text[],
      ${column(picks, (one) => one.isHere)}::boolean[]) as i (key, runner_id, is_here)
    where ${hasKey(sql, sql`i.key`)} and l.phase = 'pending' and not l.stop_requested and exists (select from guard)
    returning l.id, l.fence, case when i.is_here then (select spec from workload where key = l.key) end as spec`;
}

export type Unplacement = { id: string; fence: bigint; runnerId: string; message: string; excludeFor_ms: number };

/** A placement that its runner did not take goes back to pending; the pair is excluded for a while. */
export async function unplaceWorkloads(
  sql: SqlOrTransaction,
  writer: Writer,
  unplacements: readonly Unplacement[],
): Promise<{ id: string; key: bigint }[]> {
  return sql<{ id: string; key: bigint }[]>`
    update workload_life l set phase = 'pending', runner_id = null, message = i.message, pend_time = now(), place_time = null,
      unreachable_since = null,
      excluded = case when i.exclude_ms = 0 then l.excluded else l.excluded
        || jsonb_build_object(i.runner_id, floor(extract(epoch from clock_timestamp()) * 1000 + i.exclude_ms)) end,
      writer = ${writer.replicaId}, change_xid = pg_current_xact_id()
    from unnest(${column(unplacements, (one) => one.fence)}::bigint[], ${column(unplacements, (one) => one.id)}::text[],
      ${column(unplacements, (one) => one.runnerId)}::text[], ${column(unplacements, (one) => one.message)}::text[],
      ${column(unplacements, (one) => one.excludeFor_ms)}::float8[]) as i (fence, id, runner_id, message, exclude_ms)
    where l.fence = i.fence and l.id = i.id and l.runner_id = i.runner_id and l.phase = 'placed'
    returning l.id, l.key`;
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
  const [answer] = await sql<Answer<"ids">[]>`
    with moved as (
      update workload_life l set
        phase = case when l.phase = 'placed' or l.phase = 'starting' and i.phase <> 'starting' or i.phase = 'stopping'
          then i.phase else l.phase end,
        start_time = case when i.phase = 'running' then coalesce(l.start_time, to_timestamp(i.time_ms / 1000)) else l.start_time end,
        writer = ${writer.replicaId}, change_xid = pg_current_xact_id()
      from unnest((select ${column(advances, (one) => one.fence)}::bigint[]), (select ${column(advances, (one) => one.id)}::text[]),
        (select ${column(advances, (one) => one.runnerId)}::text[]), (select ${column(advances, (one) => one.phase)}::text[]),
        (select ${column(advances, (one) => one.time.getTime())}::float8[])) as i (fence, id, runner_id, phase, time_ms)
      where l.fence = i.fence and l.id = i.id and l.runner_id = i.runner_id and l.phase <> 'pending'
      returning l.id
    )
    select string_agg(id, ' ') as ids from moved`;
  return new Set(unpack(answer!.ids));
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
};

/**
 * Ends workloads: what changed of each is replaced by its end, and where its retry policy says so the next try is inserted in
 * the same statement, so that neither can be without the other. Answers those that were live with this fence.
 */
export async function endWorkloads(
  sql: SqlOrTransaction,
  writer: Writer,
  endings: readonly Ending[],
): Promise<Ended[]> {
  const kinds = kindsOf(endings.map(toTerms), termsKey);
  const mayRetry = endings.some((one) => one.mayRetry);
  const isDecreed = endings.some((one) => one.runnerId === null || one.fence === 0n);
  const heldFence = isDecreed
    ? sql`coalesce(nullif(i.fence, 0), (select -key from workload where id = i.id))`
    : sql`i.fence`;
  const of = kindColumn(kinds);
  const none = sql``;
  const retry = mayRetry && {
    ids: sql`, (select ${column(endings, (one) => (one.mayRetry ? createId("workload") : ""))}::text[])`,
    id: sql`case when i.retry_id <> '' and w.job_id is null and not l.stop_requested and w.try < w.maximum_tries
      and ((${of((kind) => kind.phase)}::text[])[kind] = 'lost' and w.retry_on_lost
        or (${of((kind) => kind.phase)}::text[])[kind] = 'failed' and w.retry_on_failed) then i.retry_id end`,
  };
  const [answer] = await sql<Answer<"places" | "phases" | "runnerIds" | "retryIds">[]>`
    with gone as (
      delete from workload_life l using unnest(
        (select ${column(endings, (one) => one.fence)}::bigint[]), (select ${column(endings, (one) => one.id)}::text[]),
        (select ${column(endings, (one) => one.runnerId ?? "")}::text[]), (select ${toArrayLiteral(kinds.kindOf)}::int[]),
        (select ${column(endings, (one) => one.result?.startTime_ms ?? null)}::bigint[]),
        (select ${column(endings, (one) => one.result?.endTime_ms ?? null)}::bigint[]),
        (select ${column(endings, (one) => one.result && Math.round(one.result.cpuTime_ms))}::bigint[]),
        (select ${column(endings, (one) => one.result && Math.round(one.result.memoryPeak_bytes))}::bigint[]) ${retry ? retry.ids : none}
      ) with ordinality as i (fence, id, runner_id, kind, start_ms, end_ms, cpu_ms, memory_bytes, ${mayRetry ? sql`retry_id,` : none} place)
      ${mayRetry ? sql`, workload w` : none}
      where l.fence = ${heldFence} and l.id = i.id and (i.runner_id = '' or l.runner_id = i.runner_id)
        ${mayRetry ? sql`and w.key = l.key` : none}
      returning l.key, l.id, l.organization_id,
        case when l.stop_requested then (${of((kind) => kind.phaseIfStopped)}::text[])[kind]
          else (${of((kind) => kind.phase)}::text[])[kind] end as phase,
        case when l.stop_requested then (${of((kind) => kind.messageIfStopped)}::text[])[kind]
          else (${of((kind) => kind.message)}::text[])[kind] end as message,
        l.verdict, l.runner_id, l.fence, ${retry ? retry.id : sql`null::text`} as retry_id, l.stop_requested, l.stop_grace_ms,
        l.stop_reason, l.excluded, l.unreachable_since, l.pend_time, l.place_time,
        coalesce(to_timestamp(i.start_ms::float8 / 1000), l.start_time) as start_time,
        coalesce(to_timestamp(i.end_ms::float8 / 1000), now()) as end_time, i.cpu_ms, i.memory_bytes,
        (${of((kind) => kind.result)}::json[])[kind] as result, i.place
    ), ended as (
      insert into workload_end (key, organization_id, phase, message, verdict, runner_id, fence, retried_by, stop_requested,
        stop_grace_ms, stop_reason, unreachable_since, pend_time, place_time, start_time, end_time, cpu_time_ms,
        memory_peak_bytes, result, writer)
      select key, organization_id, phase, message, verdict, runner_id, fence, retry_id, stop_requested, stop_grace_ms,
        stop_reason, unreachable_since, pend_time, place_time, start_time, end_time, cpu_ms, memory_bytes, result,
        ${writer.replicaId}
      from gone
    )${mayRetry ? nextTries(sql, writer) : none}
    select string_agg(place::text, ' ') as places, string_agg(phase, ' ') as phases
      ${isDecreed ? sql`, string_agg(coalesce(runner_id, ''), ' ') as "runnerIds"` : none}
      ${mayRetry ? sql`, string_agg(coalesce(retry_id, ''), ' ') as "retryIds"` : none} from gone`;
  const phases = unpack(answer!.phases);
  const [runnerIds, retryIds] = [unpack(answer!.runnerIds ?? null), unpack(answer!.retryIds ?? null)];
  return unpack(answer!.places).map((place, row) => {
    const { id, fence, runnerId } = endings[Number(place) - 1]!;
    return {
      id,
      fence,
      phase: phases[row] as TerminalPhase,
      runnerId: runnerId ?? (runnerIds[row] || null),
      retriedBy: retryIds[row] || null,
    };
  });
}

type Terms = ReturnType<typeof toTerms>;

/** What many endings have in common; of a result, all but the amounts and times, which have columns of their own. */
function toTerms({ phase, message, phaseIfStopped, messageIfStopped, result }: Ending) {
  const { startTime_ms, endTime_ms, cpuTime_ms: _cpu, memoryPeak_bytes: _memory, ...rest } = result ?? {};
  // What the runner did not say is said to be missing: the columns have what the control plane knows.
  const unsaid = { ...(startTime_ms === null && { startTime_ms }), ...(endTime_ms === null && { endTime_ms }) };
  const shared = result === null ? null : JSON.stringify({ ...rest, ...unsaid });
  return { phase, message, phaseIfStopped, messageIfStopped, result: shared };
}

/** No text has a NUL. */
function termsKey({ phase, message, phaseIfStopped, messageIfStopped, result }: Terms): string {
  return [phase, message, phaseIfStopped, messageIfStopped, result].join("\0");
}

/** The part of the statement that inserts what is tried again. */
const nextTries = (sql: SqlOrTransaction, writer: Writer) => sql`, next as (
      insert into workload (key, id, organization_id, name, labels, spec, demand, try, retry_of, maximum_tries, retry_on_lost,
        retry_on_failed, lost_after_ms, pending_timeout_ms, created_by)
      select ${nextFence(sql, writer)}, g.retry_id, w.organization_id, w.name, w.labels, w.spec, w.demand, w.try + 1, w.id,
        w.maximum_tries, w.retry_on_lost, w.retry_on_failed, w.lost_after_ms, w.pending_timeout_ms, w.created_by
      from gone g join workload w on w.key = g.key where g.retry_id is not null
      returning key, id
    ), next_life as (
      insert into workload_life (key, id, organization_id, phase, fence, excluded, writer)
      select n.key, n.id, g.organization_id, 'pending', -n.key, g.excluded, ${writer.replicaId}
      from next n join gone g on g.retry_id = n.id
    )`;

/** The one growing sequence of fences (I1), which also numbers workloads. */
export const nextFence = (sql: SqlOrTransaction, writer: Writer) =>
  sql`(${writer.storeEpoch}::bigint << 40) + nextval('fence_counter')`;

/** The condition that the live row `l` is of the workload with a key, by the index that has it. */
export const hasKey = (sql: SqlOrTransaction, key: PendingQuery<Row[]>) =>
  sql`(l.fence = ${key} and l.fence = l.key or l.key = ${key} and l.fence <> l.key)`;

/** The part of a statement, `guard`, that has a row while the right to place holds (I10). */
export const guarded = (sql: SqlOrTransaction, guard: PlacingGuard) => sql`guard as (
      select from leader
      where name = 'orchestrator' and epoch = ${guard.epoch} and fleet_version = ${guard.fleetVersion}
        and expire_time > now() for share
    )`;
