/**
 * The fleet in memory, as the leader places from it: bit sets by fact for up to some 100,000 runners, a few MB beside
 * the runners themselves. Picking goes by the rules of `selection.ts` (I8). One slot is one runner's place in all sets.
 *
 * Three kinds of state: the members by slot; the sets derived from them (facts, capacity); and the shapes, a bounded
 * cache over those, brought up to date from a journal of changed slots when one is next picked from.
 */
import { hasBit, memberAt } from "./bits.ts";
import type { Demand } from "./demand.ts";
import { createFleetCapacity, updateCapacity, updateUsed } from "./fleet-capacity.ts";
import { createFleetFacts, drawSlot, enterFacts, leaveFacts } from "./fleet-facts.ts";
import { bestOf } from "./fleet-ranking.ts";
import { createShape, fits, type FleetSets, reviewRoom, reviewSlot, setFree, type Shape } from "./fleet-shape.ts";
import { createShapeCache } from "./shape-cache.ts";
import type { Runner } from "./runner.ts";
import { type FleetMember, type NoneVerdict, noneVerdict, settledAmount } from "./selection.ts";
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

/** Changes remembered for shapes to follow; one further behind is built anew, which costs about as much. */
const journalLength = 512;

/** A runner, its place in the sets, and what it uses. */
type Member = FleetMember & Readonly<{ id: string; slot: number; used: Map<string, number> }>;

const nothingUsed: Resources = new Map();

/** An index of no runners; everything is taken on by its calls, and nothing is read from anywhere. */
export function createFleetIndex(): FleetIndex {
  const memberById = new Map<string, Member>();
  const usedEarly = new Map<string, Map<string, number>>();
  const vacantSlots: number[] = [];
  const members: (Member | undefined)[] = [];
  const facts = createFleetFacts();
  const capacity = createFleetCapacity();
  const shapes = createShapeCache();
  const unknown = new Set<number>();
  const journal = new Float64Array(journalLength);
  let journalHead = 0;
  /** The runner picked last, which is most often the one reserved next. */
  let latest: Member | undefined;

  function upsert(runner: Runner): void {
    latest = undefined;
    const before = memberById.get(runner.id);
    const slot = before?.slot ?? vacantSlots.pop() ?? members.length;
    const used = before?.used ?? usedEarly.get(runner.id) ?? new Map<string, number>();
    const member = { id: runner.id, slot, runner, used };
    usedEarly.delete(runner.id);
    memberById.set(runner.id, member);
    members[slot] = member;
    if (before !== undefined) leaveFacts(facts, before.runner, slot, members.length);
    enterFacts(facts, runner, slot, members.length);
    if (runner.isUnknown) unknown.add(slot);
    else unknown.delete(slot);
    updateCapacity(capacity, slot, member);
    note(slot, "facts");
  }

  function remove(runnerId: string): void {
    latest = undefined;
    usedEarly.delete(runnerId);
    const member = memberById.get(runnerId);
    if (member === undefined) return;
    const { slot, runner } = member;
    leaveFacts(facts, runner, slot, members.length);
    unknown.delete(slot);
    memberById.delete(runnerId);
    members[slot] = undefined;
    vacantSlots.push(slot);
    updateCapacity(capacity, slot, undefined);
    note(slot, "facts");
  }

  function reserve(runnerId: string, resources: Resources): void {
    changeUsed(runnerId, resources, 1);
  }

  function release(runnerId: string, resources: Resources): void {
    if (memberById.has(runnerId) || usedEarly.has(runnerId)) changeUsed(runnerId, resources, -1);
  }

  function changeUsed(runnerId: string, resources: Resources, sign: 1 | -1): void {
    const member = latest?.id === runnerId ? latest : memberById.get(runnerId);
    const used = member?.used ?? earlyUse(runnerId);
    for (const [resource, amount] of resources) {
      const now = Math.max(0, settledAmount((used.get(resource) ?? 0) + sign * amount));
      used.set(resource, now);
      if (member !== undefined) updateUsed(capacity, member.slot, resource, now);
    }
    if (member !== undefined) note(member.slot, "room");
  }

  function setUsed(runnerId: string, resources: Resources): void {
    const member = memberById.get(runnerId);
    const used = member?.used ?? earlyUse(runnerId);
    used.clear();
    for (const [resource, amount] of resources) used.set(resource, amount);
    if (member === undefined) return;
    updateCapacity(capacity, member.slot, member);
    note(member.slot, "room");
  }

  /** What a runner uses that has not been entered yet. */
  function earlyUse(runnerId: string): Map<string, number> {
    let used = usedEarly.get(runnerId);
    if (used === undefined) usedEarly.set(runnerId, (used = new Map<string, number>()));
    return used;
  }

  function note(slot: number, change: "facts" | "room"): void {
    journal[journalHead++ % journalLength] = change === "facts" ? slot * 2 + 1 : slot * 2;
  }

  function pick(demand: Demand, excluded: ReadonlySet<string>, random: (bound: number) => number): Pick {
    const { key, shape: known } = shapes.recall(demand);
    if (known === "new" && demand.preferences.length === 0) {
      const drawn = draw(demand, excluded, random);
      if (drawn !== undefined) return { kind: "picked", runnerId: drawn.id };
    }
    const shape = typeof known === "object" && follow(known) ? known : createShape(sets(), demand, journalHead);
    if (shape !== known) shapes.keep(key, shape);
    return excluded.size === 0 ? pickFrom(shape, random) : pickWithout(shape, excluded, random);
  }

  function sets(): FleetSets {
    return { facts, capacity, members, unknown, runners: memberById.size };
  }

  /** For a shape not met before, which may never come again: tries to do without building its sets. */
  function draw(demand: Demand, excluded: ReadonlySet<string>, random: (bound: number) => number): Member | undefined {
    const accept = (slot: number) => {
      const member = members[slot];
      return member !== undefined && fits(demand, member) && !excluded.has(member.id);
    };
    const slot = drawSlot(facts, demand, { slots: members.length, random, accept });
    return slot === undefined ? undefined : members[slot];
  }

  function pickFrom(shape: Shape, random: (bound: number) => number): Pick {
    if (shape.free.count === 0) {
      const full = shape.ready.count;
      return { kind: "none", verdict: noneVerdict({ full, unavailable: shape.capable.count - full }) };
    }
    const best =
      shape.ranking === undefined ? shape.free : bestOf(shape.ranking, shape.free, members, shape.demand.preferences);
    latest = members[memberAt(best, random(best.count))] as Member;
    return { kind: "picked", runnerId: latest.id };
  }

  /** Takes the excluded out of the shape's sets for this one pick. */
  function pickWithout(shape: Shape, excluded: ReadonlySet<string>, random: (bound: number) => number): Pick {
    const removed: Member[] = [];
    let excludedReady = 0;
    for (const runnerId of excluded) {
      const member = memberById.get(runnerId);
      if (member === undefined) continue;
      const { slot } = member;
      if (hasBit(shape.ready, slot)) excludedReady++;
      if (!hasBit(shape.free, slot)) continue;
      removed.push(member);
      setFree(shape, slot, undefined);
    }

    const full = shape.ready.count - excludedReady;
    const picked: Pick =
      shape.free.count > 0
        ? pickFrom(shape, random)
        : { kind: "none", verdict: noneVerdict({ full, unavailable: shape.capable.count - full }) };
    for (const member of removed) setFree(shape, member.slot, member);
    return picked;
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
    usedOf: (runnerId) => memberById.get(runnerId)?.used ?? usedEarly.get(runnerId) ?? nothingUsed,
    get: (runnerId) => memberById.get(runnerId)?.runner,
    members: () => members.filter((member) => member !== undefined),
    size: () => memberById.size,
  };
}
