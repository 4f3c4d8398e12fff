import type { PendingQuery, Row } from "postgres";
import type { DemandJson } from "../domain/workload.ts";
import { column, groupBy, unpack, type Answer } from "./batch.ts";
import type { Sql } from "./database.ts";
import { isUniqueViolation } from "./unique.ts";
import { guarded, nextFence, type PlacingGuard, type Writer } from "./workload-transitions.ts";

/*
 * How workloads begin, each way one statement: pending, placed where the guard holds (I10), or failed where no runner ever could.
 * A workload's key is a number of the sequence of fences, and its fence where it is placed as it starts (I1).
 */

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
  const insert = (conflict: Conflict) => insertLive({ sql, writer, guard, conflict }, workloads);
  // Looking for a conflict first costs each row a lookup and a second record in the log; nearly always there is none.
  return insert({ clause: sql``, filter: sql`` }).catch((error: unknown) => {
    if (!isUniqueViolation(error)) throw error;
    return insert(onConflict(sql));
  });
}

type Fragment = PendingQuery<Row[]>;
/** What an insertion does about workloads that are there: the clause, and the filter by which only the others go on. */
type Conflict = { clause: Fragment; filter: Fragment };
type Insertion = { sql: Sql; writer: Writer; guard: PlacingGuard; conflict: Conflict };

const onConflict = (sql: Sql): Conflict => ({
  clause: sql`on conflict (id) do nothing`,
  filter: sql`where key in (select key from record)`,
});

async function insertLive(
  { sql, writer, guard, conflict }: Insertion,
  workloads: readonly NewWorkload[],
): Promise<StartedWorkload[]> {
  const [answer] = await sql<(Answer<"ids" | "keys" | "fences"> & { createTime: Date })[]>`
    with ${guarded(sql, guard)}, ${records(sql, writer, workloads, conflict.clause)}, life as (
      insert into workload_life (key, id, organization_id, phase, fence, runner_id, place_time, verdict, message, writer)
      select key, id, organization_id, case when placed then 'placed' else 'pending' end,
        case when placed then key else -key end, case when placed then runner_id end, case when placed then now() end,
        verdict, message, ${writer.replicaId}
      from (select *, runner_id <> '' and exists (select from guard) as placed from input) as decided ${conflict.filter}
      returning key, id, fence
    )
    select string_agg(id, ' ') as ids, string_agg(key::text, ' ') as keys,
      string_agg(greatest(fence, 0)::text, ' ') as fences, now() as "createTime" from life`;
  const { createTime } = answer!;
  const [keys, fences] = [unpack(answer!.keys).map(BigInt), unpack(answer!.fences).map(BigInt)];
  return unpack(answer!.ids).map((id, row) => {
    const [key, fence] = [keys[row]!, fences[row]!];
    return { id, key, fence, phase: fence === 0n ? "pending" : "placed", createTime };
  });
}

/** Records a workload that no runner ever could take straight in its end. One that is there stays. */
export async function startFailed(sql: Sql, writer: Writer, workload: NewWorkload): Promise<void> {
  const { clause, filter } = onConflict(sql);
  await sql`
    with ${records(sql, writer, [workload], clause)}
    insert into workload_end (key, organization_id, phase, message, verdict, fence, pend_time, end_time, writer)
    select key, organization_id, 'failed', message, verdict, -key, now(), now(), ${writer.replicaId} from input ${filter}`;
}

/** The part of a statement that inserts what never changes of workloads: `input`, and the `record` of each. */
function records(sql: Sql, writer: Writer, workloads: readonly NewWorkload[], conflict: Fragment): Fragment {
  const { rows, groups } = groupBy(workloads.map(toKind), kindKey);
  return sql`input as (
      select ${nextFence(sql, writer)} as key, * from unnest(
        ${column(groups, ({ one }) => one.organizationId)}::text[], ${column(groups, ({ one }) => one.name)}::text[],
        ${column(groups, ({ one }) => one.labels)}::text[], ${column(groups, ({ one }) => one.spec)}::text[],
        ${column(groups, ({ one }) => one.demand)}::text[], ${column(groups, ({ one }) => one.maximumTries)}::int[],
        ${column(groups, ({ one }) => one.retryOnLost)}::boolean[], ${column(groups, ({ one }) => one.retryOnFailed)}::boolean[],
        ${column(groups, ({ one }) => one.lostAfter_ms ?? -1)}::bigint[],
        ${column(groups, ({ one }) => one.pendingTimeout_ms)}::bigint[], ${column(groups, ({ one }) => one.createdBy)}::text[],
        ${column(groups, ({ one }) => one.verdict)}::text[], ${column(groups, ({ one }) => one.message)}::text[],
        ${column(groups, ({ first }) => first)}::int[], ${column(groups, ({ last }) => last)}::int[]
      ) as kind (organization_id, name, labels, spec, demand, maximum_tries, retry_on_lost, retry_on_failed, lost_after_ms,
        pending_timeout_ms, created_by, verdict, message, first, last)
      cross join lateral unnest((${column(rows, (one) => one.id)}::text[])[first:last],
        (${column(rows, (one) => one.runnerId)}::text[])[first:last]) as one (id, runner_id)
    ), record as (
      insert into workload (key, id, organization_id, name, labels, spec, demand, maximum_tries, retry_on_lost,
        retry_on_failed, lost_after_ms, pending_timeout_ms, created_by)
      select key, id, organization_id, name, labels::jsonb, decode(spec, 'base64'), demand::json, maximum_tries,
        retry_on_lost, retry_on_failed, nullif(lost_after_ms, -1), pending_timeout_ms, created_by
      from input ${conflict} returning key
    )`;
}

type Kind = ReturnType<typeof toKind>;

function toKind({ labels, spec, demand, runnerId, ...rest }: NewWorkload) {
  return {
    ...rest,
    runnerId: runnerId ?? "",
    labels: JSON.stringify(labels),
    spec: Buffer.from(spec).toString("base64"),
    demand: JSON.stringify(demand),
  };
}

/** All but what is each workload's own. No text has a NUL. */
function kindKey(one: Kind): string {
  const { organizationId, name, labels, spec, demand, createdBy, verdict, message } = one;
  const retry = `${one.maximumTries} ${one.retryOnLost} ${one.retryOnFailed} ${one.lostAfter_ms} ${one.pendingTimeout_ms}`;
  return [organizationId, name, labels, spec, demand, createdBy, verdict, message, retry].join("\0");
}
