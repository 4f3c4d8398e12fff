/**
 * The fleet in memory, as the leader places from it: bit sets by fact for up to some 100,000 runners, a few MB beside
 * the runners themselves. Picking goes by the rules of `selection.ts` (I8). One slot is one runner's place in all sets.
 *
 * Three kinds of state: the members by slot; the sets derived from them (facts, capacity); and the shapes, a bounded
 * cache over those, brought up to date from a journal of changed slots when one is next picked from.
 */
import { hasBit, memberAt } from "./bits.ts";
import type { Demand } from "./demand.ts";
import { createFleetCapacity, updateCapacity } from "./fleet-capacity.ts";
import { createFleetFacts, enterFacts, leaveFacts } from "./fleet-facts.ts";
import { bestOf } from "./fleet-ranking.ts";
import { createShape, reviewRoom, reviewSlot, setFree, type Shape, shapeKey } from "./fleet-shape.ts";
import type { Runner } from "./runner.ts";
import { type FleetMember, type NoneVerdict, noneVerdict } from "./selection.ts";
import { wordsFor } from "./slot-set.ts";

export type Pick = Readonly<{ kind: "picked"; runnerId: string }> | Readonly<{ kind: "none"; verdict: NoneVerdict }>;

/** Amounts by resource. */
export type Resources = ReadonlyMap<string, number>;

export type FleetIndex = Readonly<{
  /** Enters a runner, or takes on what has changed of it. What it uses stays. */
  upsert: (runner: Runner) => void;
  /** Forgets a runner and what it uses. */
  remove: (runnerId: string) => void;
  /** Counts the resources as used; also of a runner that is entered only later. Whether they fit is not asked. */
  reserve: (runnerId: string, resources: Resources) => void;
  /** Takes back what `reserve` counted; never below nothing. */
  release: (runnerId: string, resources: Resources) => void;
  /** Replaces what is counted as used. */
  setUsed: (runnerId: string, used: Resources) => void;
  usedOf: (runnerId: string) => Resources;
  get: (runnerId: string) => Runner | undefined;
  /** Every runner with what it uses, as `explain` takes it. */
  members: () => FleetMember[];
  size: () => number;
  /**
   * A runner that passes every rule: uniformly one of those that the demand's preferences score best. `random(n)` is a
   * uniform integer below `n`. Reserves nothing.
   */
  pick: (demand: Demand, excluded: ReadonlySet<string>, random: (bound: number) => number) => Pick;
}>;

/** Shapes kept; one beyond that takes the place of the one not picked from for longest. */
const shapeLimit = 64;

/** Changes remembered for shapes to follow; one further behind is built anew, which costs about as much. */
const journalLength = 512;

const nothingUsed: Resources = new Map();

export function createFleetIndex(): FleetIndex {
  const slotById = new Map<string, number>();
  const usedById = new Map<string, Map<string, number>>();
  const vacantSlots: number[] = [];
  const members: (FleetMember | undefined)[] = [];
  const facts = createFleetFacts();
  const capacity = createFleetCapacity();
  const shapes = new Map<string, Shape>();
  const keys = new WeakMap<Demand, string>();
  const journal = new Float64Array(journalLength);
  let journalHead = 0;

  function upsert(runner: Runner): void {
    const slot = slotById.get(runner.id) ?? vacantSlots.pop() ?? members.length;
    const before = members[slot];
    const used = usedById.get(runner.id) ?? new Map<string, number>();
    usedById.set(runner.id, used);
    slotById.set(runner.id, slot);
    members[slot] = { runner, used };
    if (before !== undefined) leaveFacts(facts, before.runner, slot, members.length);
    enterFacts(facts, runner, slot, members.length);
    note(slot, "facts");
  }

  function remove(runnerId: string): void {
    usedById.delete(runnerId);
    const slot = slotById.get(runnerId);
    const member = slot === undefined ? undefined : members[slot];
    if (slot === undefined || member === undefined) return;
    leaveFacts(facts, member.runner, slot, members.length);
    members[slot] = undefined;
    slotById.delete(runnerId);
    vacantSlots.push(slot);
    note(slot, "facts");
  }

  function reserve(runnerId: string, resources: Resources): void {
    changeUsed(runnerId, resources, 1);
  }

  function release(runnerId: string, resources: Resources): void {
    if (usedById.has(runnerId)) changeUsed(runnerId, resources, -1);
  }

  function changeUsed(runnerId: string, resources: Resources, sign: 1 | -1): void {
    let used = usedById.get(runnerId);
    if (used === undefined) usedById.set(runnerId, (used = new Map<string, number>()));
    for (const [resource, amount] of resources) {
      used.set(resource, Math.max(0, settled((used.get(resource) ?? 0) + sign * amount)));
    }
    noteUsed(runnerId);
  }

  function setUsed(runnerId: string, resources: Resources): void {
    const used = usedById.get(runnerId) ?? new Map<string, number>();
    usedById.set(runnerId, used);
    used.clear();
    for (const [resource, amount] of resources) used.set(resource, amount);
    noteUsed(runnerId);
  }

  function noteUsed(runnerId: string): void {
    const slot = slotById.get(runnerId);
    if (slot !== undefined) note(slot, "room");
  }

  function note(slot: number, change: "facts" | "room"): void {
    updateCapacity(capacity, slot, members[slot]);
    journal[journalHead++ % journalLength] = change === "facts" ? slot * 2 + 1 : slot * 2;
  }

  function pick(demand: Demand, excluded: ReadonlySet<string>, random: (bound: number) => number): Pick {
    const shape = shapeOf(demand);
    return excluded.size === 0 ? pickFrom(shape, random) : pickWithout(shape, excluded, random);
  }

  function pickFrom(shape: Shape, random: (bound: number) => number): Pick {
    if (shape.free.count === 0) {
      const full = shape.ready.count;
      return { kind: "none", verdict: noneVerdict({ full, unavailable: shape.capable.count - full }) };
    }
    const best =
      shape.ranking === undefined ? shape.free : bestOf(shape.ranking, shape.free, members, shape.demand.preferences);
    const member = members[memberAt(best, random(best.count))] as FleetMember;
    return { kind: "picked", runnerId: member.runner.id };
  }

  /** Takes the excluded out of the shape's sets for this one pick. */
  function pickWithout(shape: Shape, excluded: ReadonlySet<string>, random: (bound: number) => number): Pick {
    const removed: { slot: number; member: FleetMember }[] = [];
    let excludedReady = 0;
    for (const runnerId of excluded) {
      const slot = slotById.get(runnerId);
      const member = slot === undefined ? undefined : members[slot];
      if (slot === undefined || member === undefined) continue;
      if (hasBit(shape.ready, slot)) excludedReady++;
      if (!hasBit(shape.free, slot)) continue;
      removed.push({ slot, member });
      setFree(shape, slot, undefined);
    }

    const full = shape.ready.count - excludedReady;
    const picked: Pick =
      shape.free.count > 0
        ? pickFrom(shape, random)
        : { kind: "none", verdict: noneVerdict({ full, unavailable: shape.capable.count - full }) };
    for (const { slot, member } of removed) setFree(shape, slot, member);
    return picked;
  }

  function shapeOf(demand: Demand): Shape {
    let key = keys.get(demand);
    if (key === undefined) keys.set(demand, (key = shapeKey(demand)));
    const known = shapes.get(key);
    const shape =
      known !== undefined && follow(known) ? known : createShape({ facts, capacity, members }, demand, journalHead);
    shapes.delete(key);
    shapes.set(key, shape);
    if (shapes.size > shapeLimit) dropOldestShape();
    return shape;
  }

  function dropOldestShape(): void {
    for (const key of shapes.keys()) {
      shapes.delete(key);
      return;
    }
  }

  /** Brings a shape up to date; false where it is too far behind, or too short for the slots there are now. */
  function follow(shape: Shape): boolean {
    if (shape.cursor === journalHead) return true;
    if (journalHead - shape.cursor > journalLength) return false;
    if (shape.free.words.length < wordsFor(members.length)) return false;
    for (; shape.cursor < journalHead; shape.cursor++) {
      const entry = journal[shape.cursor % journalLength] as number;
      const slot = Math.floor(entry / 2);
      if (entry % 2 === 1) reviewSlot(shape, slot, members[slot]);
      else reviewRoom(shape, slot, members[slot]);
    }
    return true;
  }

  return {
    upsert,
    remove,
    reserve,
    release,
    setUsed,
    pick,
    usedOf: (runnerId) => usedById.get(runnerId) ?? nothingUsed,
    get: (runnerId) => members[slotById.get(runnerId) ?? -1]?.runner,
    members: () => members.filter((member) => member !== undefined),
    size: () => slotById.size,
  };
}

/** An amount without what binary fractions leave behind: millionths are kept, below that it is rounded. */
function settled(amount: number): number {
  return Number.isInteger(amount) ? amount : Math.round(amount * 1e6) / 1e6;
}
