/** What is true of which runners, as sets of slots; and a demand's lasting rules answered from them. */
import { type Demand, meetsRequirement, type Requirement } from "./demand.ts";
import { effectiveCapabilities, type Runner } from "./runner.ts";
import { isReady } from "./selection.ts";
import {
  addSlot,
  andInto,
  andNotInto,
  createSlotSet,
  hasSlot,
  orInto,
  removeSlot,
  slotsOf,
  type SlotSet,
  wordsFor,
} from "./slot-set.ts";

type LabelFacts = { present: SlotSet; byValue: Map<string, SlotSet> };

/** The sets by fact. Keyed by Maps, so that no name (`__proto__`, `constructor`) is special. */
export type FleetFacts = Readonly<{
  cluster: SlotSet;
  ready: SlotSet;
  organizations: Map<string, SlotSet>;
  labels: Map<string, LabelFacts>;
  capabilities: Map<string, SlotSet>;
  executors: Map<string, SlotSet>;
}>;

/** Of no member. */
export function createFleetFacts(): FleetFacts {
  return {
    cluster: createSlotSet(),
    ready: createSlotSet(),
    organizations: new Map(),
    labels: new Map(),
    capabilities: new Map(),
    executors: new Map(),
  };
}

/** Enters the runner's facts under `slot`, one of `slots`. */
export function enterFacts(facts: FleetFacts, runner: Runner, slot: number, slots: number): void {
  if (runner.scope.kind === "cluster") addSlot(facts.cluster, slot, slots);
  else addSlot(setOf(facts.organizations, runner.scope.organizationId), slot, slots);
  if (isReady(runner)) addSlot(facts.ready, slot, slots);
  for (const [key, value] of runner.labels) {
    let label = facts.labels.get(key);
    if (label === undefined) facts.labels.set(key, (label = { present: createSlotSet(), byValue: new Map() }));
    addSlot(label.present, slot, slots);
    addSlot(setOf(label.byValue, value), slot, slots);
  }
  for (const capability of effectiveCapabilities(runner)) addSlot(setOf(facts.capabilities, capability), slot, slots);
  for (const executor of runner.executors) addSlot(setOf(facts.executors, executor), slot, slots);
}

/** Takes the runner's facts, as they were entered, out of `slot`; sets left empty are dropped. */
export function leaveFacts(facts: FleetFacts, runner: Runner, slot: number, slots: number): void {
  if (runner.scope.kind === "cluster") removeSlot(facts.cluster, slot, slots);
  else leaveSet(facts.organizations, runner.scope.organizationId, slot, slots);
  removeSlot(facts.ready, slot, slots);
  for (const [key, value] of runner.labels) {
    const label = facts.labels.get(key);
    if (label === undefined) continue;
    removeSlot(label.present, slot, slots);
    leaveSet(label.byValue, value, slot, slots);
    if (label.present.count === 0) facts.labels.delete(key);
  }
  for (const capability of effectiveCapabilities(runner)) leaveSet(facts.capabilities, capability, slot, slots);
  for (const executor of runner.executors) leaveSet(facts.executors, executor, slot, slots);
}

function setOf(sets: Map<string, SlotSet>, name: string): SlotSet {
  let set = sets.get(name);
  if (set === undefined) sets.set(name, (set = createSlotSet()));
  return set;
}

function leaveSet(sets: Map<string, SlotSet>, name: string, slot: number, slots: number): void {
  const set = sets.get(name);
  if (set === undefined) return;
  removeSlot(set, slot, slots);
  if (set.count === 0) sets.delete(name);
}

/** One condition: the slots in any of `sets`, which share none, or in none of them. */
type Clause = { sets: readonly SlotSet[]; negated: boolean };

/** How to draw among `slots` slots: by `random`, which gives a number below its bound, and of what `accept` takes. */
interface SlotDraw {
  slots: number;
  random: (bound: number) => number;
  accept: (slot: number) => boolean;
}

/**
 * A slot that passes scope, labels, capabilities, executor, and is ready, and that `accept` takes: uniformly one of all
 * such. Where only few could fit, they are asked one by one; else slots are drawn and those that do not fit thrown away.
 * `undefined` where that found none within {@link drawLimit} draws, which says nothing about whether there is one.
 */
export function drawSlot(facts: FleetFacts, demand: Demand, { slots, random, accept }: SlotDraw): number | undefined {
  const clauses = clausesOf(facts, demand);
  clauses.sort((a, b) => Number(a.negated) - Number(b.negated) || memberCount(a) - memberCount(b));
  const [scarcest] = clauses;
  if (scarcest === undefined) return undefined;
  const fits = (slot: number) => passesAll(clauses, slot) && hasSlot(facts.ready, slot) && accept(slot);
  if (memberCount(scarcest) <= fewMembers) return drawOfFew(scarcest, fits, random);
  if (memberCount(scarcest) * drawLimit < slots * 2) return undefined;
  for (let draw = 0; draw < drawLimit; draw++) {
    const slot = random(slots);
    if (fits(slot)) return slot;
  }
  return undefined;
}

function drawOfFew(
  { sets }: Clause,
  fits: (slot: number) => boolean,
  random: (bound: number) => number,
): number | undefined {
  const fitting: number[] = [];
  for (const set of sets) for (const slot of slotsOf(set)) if (fits(slot)) fitting.push(slot);
  return fitting.length === 0 ? undefined : fitting[random(fitting.length)];
}

/** Slots drawn before giving up; where fewer than two of them would hit, none is drawn. */
const drawLimit = 400;

function passesAll(clauses: readonly Clause[], slot: number): boolean {
  for (const clause of clauses) if (isInAny(clause.sets, slot) === clause.negated) return false;
  return true;
}

function isInAny(sets: readonly SlotSet[], slot: number): boolean {
  for (const set of sets) if (hasSlot(set, slot)) return true;
  return false;
}

/**
 * The slots that pass a demand's lasting rules, but for capacity, as bits: scope, labels, capabilities, executor.
 * Starts with the condition that fewest meet, and leaves out those that all `runners` meet.
 */
export function matchingSlots(facts: FleetFacts, demand: Demand, slots: number, runners: number): Uint32Array {
  const clauses = clausesOf(facts, demand);
  const words = new Uint32Array(wordsFor(slots));
  const scarcest = scarcestOf(clauses);
  for (const set of scarcest.sets) orInto(words, set);

  const rest = clauses.filter((clause) => clause !== scarcest && !isMetByAll(clause, runners));
  if (memberCount(scarcest) <= fewMembers) keepFew(words, scarcest, rest);
  else for (const clause of rest) keep(words, clause);
  return words;
}

/** Members up to which asking each beats combining words. */
const fewMembers = 256;

function keepFew(words: Uint32Array, scarcest: Clause, rest: readonly Clause[]): void {
  for (const set of scarcest.sets) {
    for (const slot of slotsOf(set)) {
      if (passesAll(rest, slot)) continue;
      words[slot >>> 5] = (words[slot >>> 5] as number) & ~(1 << (slot & 31));
    }
  }
}

function isMetByAll({ sets, negated }: Clause, runners: number): boolean {
  return negated ? sets.length === 0 : sets.some((set) => set.count === runners);
}

function keep(words: Uint32Array, clause: Clause): void {
  const bits = bitsOf(clause.sets, words.length);
  if (clause.negated) andNotInto(words, bits);
  else andInto(words, bits);
}

function bitsOf(sets: readonly SlotSet[], length: number): Uint32Array {
  const [only] = sets;
  if (sets.length === 1 && only !== undefined && !(only.members instanceof Set)) return only.members;
  const union = new Uint32Array(length);
  for (const set of sets) orInto(union, set);
  return union;
}

function clausesOf(facts: FleetFacts, demand: Demand): Clause[] {
  const clauses: Clause[] = [
    { sets: present([facts.organizations.get(demand.organizationId), facts.cluster]), negated: false },
    { sets: present([facts.executors.get(demand.executor)]), negated: false },
  ];
  for (const capability of demand.capabilities) {
    clauses.push({ sets: present([facts.capabilities.get(capability)]), negated: false });
  }
  for (const requirement of demand.requirements) clauses.push(clauseOf(facts.labels.get(requirement.key), requirement));
  return clauses;
}

function clauseOf(label: LabelFacts | undefined, requirement: Requirement): Clause {
  switch (requirement.operator) {
    case "in":
      return { sets: valueSets(label, requirement), negated: false };
    case "not_in":
      return { sets: valueSets(label, requirement), negated: true };
    case "exists":
      return { sets: present([label?.present]), negated: false };
    case "not_exists":
      return { sets: present([label?.present]), negated: true };
    case "greater":
    case "less":
      return { sets: comparedSets(label, requirement), negated: false };
  }
}

function valueSets(label: LabelFacts | undefined, requirement: Requirement): SlotSet[] {
  return present([...new Set(requirement.values)].map((value) => label?.byValue.get(value)));
}

function comparedSets(label: LabelFacts | undefined, requirement: Requirement): SlotSet[] {
  const sets: SlotSet[] = [];
  for (const [value, set] of label?.byValue ?? []) if (meetsRequirement(value, requirement)) sets.push(set);
  return sets;
}

function present(sets: readonly (SlotSet | undefined)[]): SlotSet[] {
  return sets.filter((set) => set !== undefined);
}

function scarcestOf(clauses: readonly Clause[]): Clause {
  return clauses
    .filter((clause) => !clause.negated)
    .reduce((best, clause) => (memberCount(clause) < memberCount(best) ? clause : best));
}

function memberCount(clause: Clause): number {
  return clause.sets.reduce((count, set) => count + set.count, 0);
}
