import type { SqlOrTransaction } from "./database.ts";
import { cut, decodeCursor, type Page } from "./paging.ts";

export type DeliveryState = "waiting" | "started" | "refused" | "failed";

/** Something that came for a trigger. */
export type DeliveryRow = {
  key: bigint;
  id: string;
  triggerId: string;
  senderId: string;
  event: string;
  slot: Date | null;
  state: DeliveryState;
  reason: string;
  runId: string;
  redeliveryOf: string;
  tries: number;
  createTime: Date;
  payload_bytes: number;
};

/** With what was sent. */
export type WholeDelivery = DeliveryRow & { payload: Uint8Array | null };

export type NewDelivery = Pick<
  DeliveryRow,
  "id" | "triggerId" | "senderId" | "event" | "slot" | "state" | "reason" | "runId" | "redeliveryOf"
> & { payload: Uint8Array | null };

const columns = (sql: SqlOrTransaction) => sql`
  key, id, trigger_id as "triggerId", sender_id as "senderId", event, slot, state, reason, run_id as "runId",
  redelivery_of as "redeliveryOf", tries, create_time as "createTime", coalesce(octet_length(payload), 0) as "payload_bytes"`;

/** Undefined where the schedule's time has a delivery already. */
export async function insertDelivery(sql: SqlOrTransaction, one: NewDelivery): Promise<DeliveryRow | undefined> {
  const [row] = await sql<DeliveryRow[]>`
    insert into delivery (id, trigger_id, sender_id, event, slot, state, reason, run_id, redelivery_of, payload)
    values (${one.id}, ${one.triggerId}, ${one.senderId}, ${one.event}, ${one.slot}, ${one.state}, ${one.reason}, ${one.runId},
      ${one.redeliveryOf}, ${one.payload}) on conflict (trigger_id, slot) where slot is not null and redelivery_of = '' do nothing
    returning ${columns(sql)}`;
  return row;
}

/** Notes what a trigger was sent; answers the delivery that brought one of the hashes before, if there is one. */
export async function noteSeen(
  sql: SqlOrTransaction,
  { triggerId, hashes, deliveryId }: { triggerId: string; hashes: readonly Uint8Array[]; deliveryId: string },
): Promise<string | undefined> {
  // In one order, so that two that bring the same never wait for each other.
  const sorted = hashes.map((hash) => Buffer.from(hash).toString("hex")).toSorted();
  const { count } = await sql`
    insert into delivery_seen (trigger_id, hash, delivery_id)
    select ${triggerId}, decode(hash, 'hex'), ${deliveryId}
    from unnest(${sorted}::text[]) as hash
    on conflict do nothing`;
  if (count === hashes.length) return undefined;
  const [row] = await sql<{ deliveryId: string }[]>`
    select delivery_id as "deliveryId" from delivery_seen
    where trigger_id = ${triggerId} and delivery_id <> ${deliveryId}
      and hash in (select decode(hash, 'hex') from unnest(${sorted}::text[]) as hash) limit 1`;
  return row?.deliveryId ?? "";
}

/** How many wait for a trigger, counted no further than `limit`. */
export async function countWaiting(sql: SqlOrTransaction, triggerId: string, limit: number): Promise<number> {
  const [row] = await sql<{ count: number }[]>`
    select count(*)::int as count from (
      select from delivery where trigger_id = ${triggerId} and state = 'waiting' limit ${limit}) waiting`;
  return row!.count;
}

/**
 * Claims deliveries that are due, at most one of each trigger, and none of a trigger of which one is being worked: so that none waits
 * behind another's many, and each trigger's are worked in the order in which they came. Whoever claims one has `lease_ms` for it.
 * The index is walked from trigger to trigger: what it costs grows with the triggers that wait, not with all that waits.
 */
export async function claimDeliveries(
  sql: SqlOrTransaction,
  { limit, lease_ms }: { limit: number; lease_ms: number },
): Promise<WholeDelivery[]> {
  return sql<WholeDelivery[]>`
    with recursive next as (
      (select trigger_id, key from delivery where state = 'waiting' order by trigger_id, key limit 1)
      union all
      select following.* from next cross join lateral (
        select trigger_id, key from delivery where state = 'waiting' and trigger_id > next.trigger_id
        order by trigger_id, key limit 1) following
    ), due as (
      select d.key from delivery d join next on next.key = d.key
      where d.state = 'waiting' and d.next_try_time <= now() order by d.next_try_time limit ${limit} for update of d skip locked
    )
    update delivery d set tries = tries + 1, next_try_time = now() + ${lease_ms}::float8 * interval '1 millisecond'
    from due where d.key = due.key returning ${columnsOf(sql)}, d.payload`;
}

const columnsOf = (sql: SqlOrTransaction) => sql`
  d.key, d.id, d.trigger_id as "triggerId", d.sender_id as "senderId", d.event, d.slot, d.state, d.reason, d.run_id as "runId",
  d.redelivery_of as "redeliveryOf", d.tries, d.create_time as "createTime", coalesce(octet_length(d.payload), 0) as "payload_bytes"`;

/** What became of a delivery, said by whoever claimed it for this try: anybody later knows better. */
export async function settleDelivery(
  sql: SqlOrTransaction,
  { key, tries }: Pick<DeliveryRow, "key" | "tries">,
  { state, reason }: Pick<DeliveryRow, "state" | "reason">,
): Promise<void> {
  await sql`
    update delivery set state = ${state}, reason = ${reason} where key = ${key} and tries = ${tries} and state = 'waiting'`;
}

/** A delivery waits on; a try that found nothing to do does not count. */
export async function postponeDelivery(
  sql: SqlOrTransaction,
  { key, tries }: Pick<DeliveryRow, "key" | "tries">,
  { reason, wait_ms, counts }: { reason: string; wait_ms: number; counts: boolean },
): Promise<void> {
  await sql`
    update delivery set reason = ${reason}, tries = tries - ${counts ? 0 : 1},
      next_try_time = now() + ${wait_ms}::float8 * interval '1 millisecond'
    where key = ${key} and tries = ${tries} and state = 'waiting'`;
}

/** A delivery of a trigger, with what was sent. */
export async function getDelivery(
  sql: SqlOrTransaction,
  { triggerId, id }: { triggerId: string; id: string },
): Promise<WholeDelivery | undefined> {
  const [row] = await sql<WholeDelivery[]>`
    select ${columns(sql)}, payload from delivery where trigger_id = ${triggerId} and id = ${id}`;
  return row;
}

/** Newest first. */
export async function listDeliveries(sql: SqlOrTransaction, triggerId: string, page: Page) {
  const before = decodeCursor(page.token, "delivery");
  const rows = await sql<DeliveryRow[]>`
    select ${columns(sql)} from delivery
    where trigger_id = ${triggerId} and (${before ?? null}::bigint is null or key < ${before ?? null}::bigint)
    order by key desc limit ${page.size + 1}`;
  return cut("delivery", rows, page, (row) => String(row.key));
}

/** Deletes at most `limit` settled deliveries that came so long ago; answers how many. */
export async function sweepDeliveries(sql: SqlOrTransaction, keep_ms: number, limit: number): Promise<number> {
  const { count } = await sql`
    delete from delivery where key in (
      select key from delivery where create_time < now() - ${keep_ms}::float8 * interval '1 millisecond' and state <> 'waiting'
      limit ${limit})`;
  return count;
}

/** Forgets at most `limit` hashes of what was sent so long ago; answers how many. */
export async function sweepSeen(sql: SqlOrTransaction, keep_ms: number, limit: number): Promise<number> {
  const { count } = await sql`
    delete from delivery_seen where ctid in (
      select ctid from delivery_seen where create_time < now() - ${keep_ms}::float8 * interval '1 millisecond' limit ${limit})`;
  return count;
}
