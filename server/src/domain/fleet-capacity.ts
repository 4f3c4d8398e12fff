/** How much of each demanded resource is free on which slots, with bit sets for the amounts that are asked for. */
import { type FleetMember, hasRoom, settledAmount } from "./selection.ts";
import { wordsFor } from "./slot-set.ts";

/** The slots whose total, and whose free part, has room for one amount; followed no more once it is not `kept`. */
export type RoomBits = { total: Uint32Array; free: Uint32Array; kept: boolean };

type Column = { total: Float64Array; free: Float64Array; rooms: Map<number, RoomBits> };

/** Columns by resource, the least recently asked for first. */
export type FleetCapacity = { columns: Map<string, Column> };

/** Resources kept in columns; one asked for beyond that takes the place of the least recently asked for. */
const columnLimit = 16;

/** Amounts of one resource kept as bits, likewise. */
const roomLimit = 16;

/** Of no member; columns come with the resources that are asked for. */
export function createFleetCapacity(): FleetCapacity {
  return { columns: new Map() };
}

/** Takes on what a slot's member has and uses now; `undefined` for none. */
export function updateCapacity(capacity: FleetCapacity, slot: number, member: FleetMember | undefined): void {
  for (const [resource, column] of capacity.columns) {
    grow(column, slot + 1);
    enter(column, resource, slot, member);
    for (const [amount, room] of column.rooms) {
      setRoom(room.total, slot, member !== undefined && hasRoom(column.total[slot] as number, amount));
      setRoom(room.free, slot, member !== undefined && hasRoom(column.free[slot] as number, amount));
    }
  }
}

/** Takes on that the slot's member now uses `used` of the resource. */
export function updateUsed(capacity: FleetCapacity, slot: number, resource: string, used: number): void {
  const column = capacity.columns.get(resource);
  if (column === undefined) return;
  const free = settledAmount((column.total[slot] as number) - used);
  column.free[slot] = free;
  for (const [amount, room] of column.rooms) setRoom(room.free, slot, hasRoom(free, amount));
}

/** The slots with room for `amount` of `resource`. */
export function roomFor(
  capacity: FleetCapacity,
  members: readonly (FleetMember | undefined)[],
  resource: string,
  amount: number,
): RoomBits {
  const column = recall(capacity.columns, resource, {
    limit: columnLimit,
    create: () => createColumn(members, resource),
    drop: ({ rooms }) => rooms.forEach(dropRoom),
  });
  const create = () => createRoom(column, members, amount);
  return recall(column.rooms, amount, { limit: roomLimit, create, drop: dropRoom });
}

function dropRoom(room: RoomBits): void {
  room.kept = false;
}

type Keeping<Value> = { limit: number; create: () => Value; drop: (value: Value) => void };

/** The entry of `key`, made if need be, now the most recent; beyond the limit the least recent goes. */
function recall<Key, Value>(entries: Map<Key, Value>, key: Key, { limit, create, drop }: Keeping<Value>): Value {
  const value = entries.get(key) ?? create();
  entries.delete(key);
  entries.set(key, value);
  const [oldest] = entries.size > limit ? entries : [];
  if (oldest !== undefined) {
    entries.delete(oldest[0]);
    drop(oldest[1]);
  }
  return value;
}

function createColumn(members: readonly (FleetMember | undefined)[], resource: string): Column {
  const length = wordsFor(members.length) * 32;
  const column: Column = { total: new Float64Array(length), free: new Float64Array(length), rooms: new Map() };
  members.forEach((member, slot) => enter(column, resource, slot, member));
  return column;
}

function createRoom(column: Column, members: readonly (FleetMember | undefined)[], amount: number): RoomBits {
  const words = wordsFor(column.total.length);
  const room: RoomBits = { total: new Uint32Array(words), free: new Uint32Array(words), kept: true };
  for (let slot = 0; slot < members.length; slot++) {
    if (members[slot] === undefined) continue;
    if (hasRoom(column.total[slot] as number, amount)) setRoom(room.total, slot, true);
    if (hasRoom(column.free[slot] as number, amount)) setRoom(room.free, slot, true);
  }
  return room;
}

function enter(column: Column, resource: string, slot: number, member: FleetMember | undefined): void {
  const total = member?.runner.capacity.get(resource) ?? 0;
  column.total[slot] = total;
  column.free[slot] = settledAmount(total - (member?.used.get(resource) ?? 0));
}

function setRoom(bits: Uint32Array, slot: number, has: boolean): void {
  const index = slot >>> 5;
  const bit = 1 << (slot & 31);
  bits[index] = has ? (bits[index] as number) | bit : (bits[index] as number) & ~bit;
}

function grow(column: Column, slots: number): void {
  if (slots <= column.total.length) return;
  const length = wordsFor(Math.max(slots, column.total.length * 2)) * 32;
  column.total = grownFloats(column.total, length);
  column.free = grownFloats(column.free, length);
  for (const room of column.rooms.values()) {
    room.total = grownWords(room.total, wordsFor(length));
    room.free = grownWords(room.free, wordsFor(length));
  }
}

function grownFloats(from: Float64Array, length: number): Float64Array {
  const to = new Float64Array(length);
  to.set(from);
  return to;
}

function grownWords(from: Uint32Array, length: number): Uint32Array {
  const to = new Uint32Array(length);
  to.set(from);
  return to;
}
