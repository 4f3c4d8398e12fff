/**
 * A shape: one kind of demand with the slots that answer it, kept from pick to pick. Many workloads ask for the same, so
 * the sets are built once and then follow the index's journal of changed slots.
 */
import { type CountedBits, createCountedBits, hasBit, setBit } from "./bits.ts";
import type { Demand, Requirement } from "./demand.ts";
import { type FleetCapacity, type RoomBits, roomFor } from "./fleet-capacity.ts";
import { type FleetFacts, matchingSlots } from "./fleet-facts.ts";
import { createRanking, enterRanking, leaveRanking, type Ranking } from "./fleet-ranking.ts";
import { type FleetMember, hasRoom, settledAmount, standingOf, unmetOf } from "./selection.ts";
import { andInto, orInto } from "./slot-set.ts";

/** The slots that could ever take the demand ⊇ those of them that are ready ⊇ those of them with room now. */
export type Shape = {
  readonly demand: Demand;
  readonly capable: CountedBits;
  readonly ready: CountedBits;
  readonly free: CountedBits;
  /** The free slots by preference; absent where the demand prefers nothing. */
  readonly ranking: Ranking | undefined;
  /** The room that each resource of the demand needs. */
  readonly rooms: readonly RoomBits[];
  /** The journal entries this shape has followed. */
  cursor: number;
};

/** What a shape is built from. */
export type FleetSets = Readonly<{
  facts: FleetFacts;
  capacity: FleetCapacity;
  members: readonly (FleetMember | undefined)[];
  /** The slots of runners that have not said yet what they are: judged one by one, for they are in no other set. */
  unknown: ReadonlySet<number>;
  /** How many of the members are there. */
  runners: number;
}>;

/** Text that two demands share only if the same runners answer both, in the same order of preference. */
export function shapeKey(demand: Demand): string {
  return JSON.stringify([
    demand.organizationId,
    demand.executor,
    demand.capabilities,
    demand.requirements.map(requirementKey),
    Array.from(demand.resources, ([resource, amount]) => [resource, String(amount)]),
    demand.preferences.map(({ requirement, weight }) => [requirementKey(requirement), String(weight)]),
  ]);
}

function requirementKey({ key, operator, values }: Requirement): unknown {
  return [key, operator, values];
}

/** Works out a demand over all slots that there are. */
export function createShape(sets: FleetSets, demand: Demand, cursor: number): Shape {
  const capable = matchingSlots(sets.facts, demand, sets.members.length, sets.runners);
  const rooms = Array.from(demand.resources, ([resource, amount]) =>
    roomFor(sets.capacity, sets.members, resource, amount),
  );
  for (const room of rooms) andInto(capable, room.total);

  for (const slot of sets.unknown) if (isCapable(demand, sets.members[slot])) capable[slot >>> 5]! |= 1 << (slot & 31);

  const ready = new Uint32Array(capable.length);
  orInto(ready, sets.facts.ready);
  andInto(ready, capable);

  const free = ready.slice();
  for (const room of rooms) andInto(free, room.free);

  return {
    demand,
    capable: createCountedBits(capable),
    ready: createCountedBits(ready),
    free: createCountedBits(free),
    ranking: demand.preferences.length > 0 ? createRanking() : undefined,
    rooms,
    cursor,
  };
}

function isCapable(demand: Demand, member: FleetMember | undefined): boolean {
  return member !== undefined && standingOf(unmetOf(demand, { member, excluded: false })) !== "never";
}

/** Looks at a slot anew, by the rules themselves, after anything about its runner has changed. */
export function reviewSlot(shape: Shape, slot: number, member: FleetMember | undefined): void {
  const standing = member === undefined ? "never" : standingOf(unmetOf(shape.demand, { member, excluded: false }));
  setBit(shape.capable, slot, standing !== "never");
  setBit(shape.ready, slot, standing === "free" || standing === "full");
  setFree(shape, slot, undefined);
  if (standing === "free") setFree(shape, slot, member);
}

/** Looks at a slot anew after only its used capacity has changed. */
export function reviewRoom(shape: Shape, slot: number, member: FleetMember | undefined): void {
  if (member === undefined || !hasBit(shape.ready, slot)) return;
  setFree(shape, slot, hasAllRoom(shape, slot, member) ? member : undefined);
}

function hasAllRoom(shape: Shape, slot: number, member: FleetMember): boolean {
  for (const { free, kept } of shape.rooms) {
    if (!kept) return fits(shape.demand, member);
    if ((((free[slot >>> 5] as number) >>> (slot & 31)) & 1) === 0) return false;
  }
  return true;
}

/** Makes the slot free for the shape's demand, with the member that ranks it; `undefined` makes it not free. */
export function setFree(shape: Shape, slot: number, member: FleetMember | undefined): void {
  if (!setBit(shape.free, slot, member !== undefined) || shape.ranking === undefined) return;
  if (member === undefined) leaveRanking(shape.ranking, slot);
  else
    enterRanking(
      shape.ranking,
      { index: slot, labels: member.runner.labels },
      shape.demand.preferences,
      shape.free.words.length,
    );
}

/** Whether the member has room now for what the demand asks. */
export function fits(demand: Demand, member: FleetMember): boolean {
  for (const [resource, wanted] of demand.resources) {
    const free = (member.runner.capacity.get(resource) ?? 0) - (member.used.get(resource) ?? 0);
    if (!hasRoom(settledAmount(free), wanted)) return false;
  }
  return true;
}
