import type { PendingQuery, Row } from "postgres";
import type { DemandJson } from "../domain/workload.ts";
import { toArrayLiteral } from "./array-literal.ts";
import { column, kindColumn, kindsOf, unpack, type Answer, type Kinds } from "./batch.ts";
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
  const kinds = kindsOf(workloads.map(toKind), kindKey);
  const insert = (conflict: Conflict) => insertLive({ sql, writer, guard, kinds, conflict }, workloads);
  // Looking for a conflict first costs each row a lookup and a second record in the log; nearly always there is none.
  return insert({ clause: sql``, filter: sql`` }).catch((error: unknown) => {
    if (!isUniqueViolation(error)) throw error;
    return insert(onConflict(sql));
  });
}

type Fragment = PendingQuery<Row[]>;
/** What an insertion does about workloads that are there: the clause, and the filter by which only the others go on. */
type Conflict = { clause: Fragment; filter: Fragment };
type Insertion = { sql: Sql; writer: Writer; guard: PlacingGuard; kinds: Kinds<Kind>; conflict: Conflict };

const onConflict = (sql: Sql): Conflict => ({
  clause: sql`on conflict (id) do nothing`,
  filter: sql`where key in (select key from record)`,
});

async function insertLive(
  { sql, writer, guard, kinds, conflict }: Insertion,
  workloads: readonly NewWorkload[],
): Promise<StartedWorkload[]> {
  const of = kindColumn(kinds);
  const [answer] = await sql<(Answer<"ids" | "fences"> & { createTime: Date })[]>`
    with ${guarded(sql, guard)}, ${records({ sql, writer, kinds }, workloads, conflict.clause)}, life as (
      insert into workload_life (key, id, organization_id, phase, fence, runner_id, place_time, verdict, message, writer)
      select key, id, (${of((one) => one.organizationId)}::text[])[kind], case when placed then 'placed' else 'pending' end,
        case when placed then key else -key end, case when placed then runner_id end, case when placed then now() end,
        (${of((one) => one.verdict)}::text[])[kind], (${of((one) => one.message)}::text[])[kind], ${writer.replicaId}
      from (select *, runner_id <> '' and exists (select from guard) as placed from input) as decided ${conflict.filter}
      returning id, fence
    )
    select string_agg(id, ' ') as ids, string_agg(fence::text, ' ') as fences, now() as "createTime" from life`;
  const { createTime } = answer!;
  const fences = unpack(answer!.fences);
  return unpack(answer!.ids).map((id, row) => {
    const fence = BigInt(fences[row]!);
    if (fence > 0n) return { id, key: fence, fence, phase: "placed", createTime };
    return { id, key: -fence, fence: 0n, phase: "pending", createTime };
  });
}

/** Records a workload that no runner ever could take straight in its end. One that is there stays. */
export async function startFailed(sql: Sql, writer: Writer, workload: NewWorkload): Promise<void> {
  const { clause, filter } = onConflict(sql);
  const kinds = kindsOf([toKind(workload)], kindKey);
  const { organizationId, verdict, message } = workload;
  await sql`
    with ${records({ sql, writer, kinds }, [workload], clause)}
    insert into workload_end (key, organization_id, phase, message, verdict, fence, pend_time, end_time, writer)
    select key, ${organizationId}, 'failed', ${message}, ${verdict}, -key, now(), now(), ${writer.replicaId} from input ${filter}`;
}

/** The part of a statement that inserts what never changes of workloads: `input`, and the `record` of each. */
function records(
  { sql, writer, kinds }: Pick<Insertion, "sql" | "writer" | "kinds">,
  workloads: readonly NewWorkload[],
  conflict: Fragment,
): Fragment {
  const of = kindColumn(kinds);
  return sql`input as (
      select ${nextFence(sql, writer)} as key, * from unnest(${column(workloads, (one) => one.id)}::text[],
        ${column(workloads, (one) => one.runnerId ?? "")}::text[], ${toArrayLiteral(kinds.kindOf)}::int[]) as i (id, runner_id, kind)
    ), record as (
      insert into workload (key, id, organization_id, name, labels, spec, demand, maximum_tries, retry_on_lost,
        retry_on_failed, lost_after_ms, pending_timeout_ms, created_by)
      select key, id, (${of((one) => one.organizationId)}::text[])[kind], (${of((one) => one.name)}::text[])[kind],
        (${of((one) => one.labels)}::jsonb[])[kind], (${of((one) => one.spec)}::bytea[])[kind],
        (${of((one) => one.demand)}::json[])[kind], (${of((one) => one.maximumTries)}::int[])[kind],
        (${of((one) => one.retryOnLost)}::boolean[])[kind], (${of((one) => one.retryOnFailed)}::boolean[])[kind],
        (${of((one) => one.lostAfter_ms)}::bigint[])[kind], (${of((one) => one.pendingTimeout_ms)}::bigint[])[kind],
        (${of((one) => one.createdBy)}::text[])[kind]
      from input ${conflict} returning key
    )`;
}

type Kind = ReturnType<typeof toKind>;

function toKind({ labels, spec, demand, ...rest }: NewWorkload) {
  return {
    ...rest,
    labels: JSON.stringify(labels),
    spec: `\\x${Buffer.from(spec).toString("hex")}`,
    demand: JSON.stringify(demand),
  };
}

/** All but what is each workload's own. No text has a NUL. */
function kindKey(one: Kind): string {
  const { organizationId, name, labels, spec, demand, createdBy, verdict, message } = one;
  const retry = `${one.maximumTries} ${one.retryOnLost} ${one.retryOnFailed} ${one.lostAfter_ms} ${one.pendingTimeout_ms}`;
  return [organizationId, name, labels, spec, demand, createdBy, verdict, message, retry].join("\0");
}
