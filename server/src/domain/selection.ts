/**
 * The rules by which a runner takes a workload, in their order, as one table. Picking and explaining both go by it (I8):
 * the fleet index compiles the same rules to bit sets, and its property test holds the two equal.
 */
import { type Demand, meetsRequirement, type Requirement } from "./demand.ts";
import {
  declaresCapability,
  hasCapability,
  reservedLabelPrefix,
  type Runner,
  type RunnerAvailability,
  type RunnerStatus,
  servesOrganization,
} from "./runner.ts";

/** A runner and what its live placements use, by resource. */
export type FleetMember = Readonly<{ runner: Runner; used: ReadonlyMap<string, number> }>;

/** A member beside whether the pair (workload, runner) is excluded for now. */
export type Candidate = Readonly<{ member: FleetMember; excluded: boolean }>;

/** One thing a demand asks for that a candidate does not give. */
export type Unmet =
  | Readonly<{ kind: "scope" }>
  | Readonly<{ kind: "status"; status: Exclude<RunnerStatus, "enrolled"> }>
  | Readonly<{ kind: "availability"; availability: Exclude<RunnerAvailability, "active">; reason: string }>
  | Readonly<{ kind: "label"; requirement: Requirement; found: string | undefined }>
  | Readonly<{ kind: "capability"; capability: string; declared: boolean }>
  | Readonly<{ kind: "executor"; executor: string }>
  | Readonly<{ kind: "total"; resource: string; wanted: number; total: number }>
  | Readonly<{ kind: "free"; resource: string; wanted: number; total: number; used: number }>
  | Readonly<{ kind: "excluded" }>;

export type RuleName = "scope" | "ready" | "labels" | "capabilities" | "executor" | "capacity" | "exclusion";

/** One rule: what of the demand the candidate leaves unmet; nothing where it passes. */
export type Rule = Readonly<{ name: RuleName; check: (demand: Demand, candidate: Candidate) => readonly Unmet[] }>;

/** Every rule that a runner must pass, in the order in which they are named to people (I8). */
export const rules: readonly Rule[] = [
  { name: "scope", check: checkScope },
  { name: "ready", check: checkReady },
  { name: "labels", check: checkLabels },
  { name: "capabilities", check: checkCapabilities },
  { name: "executor", check: checkExecutor },
  { name: "capacity", check: checkCapacity },
  { name: "exclusion", check: checkExclusion },
];

const met: readonly Unmet[] = [];

function checkScope(demand: Demand, { member }: Candidate): readonly Unmet[] {
  return servesOrganization(member.runner, demand.organizationId) ? met : [{ kind: "scope" }];
}

/** Enrolled with a session, and active: both are named where both fail. */
function checkReady(_demand: Demand, { member: { runner } }: Candidate): readonly Unmet[] {
  if (isReady(runner)) return met;
  const unmet: Unmet[] = [];
  if (runner.status !== "enrolled") unmet.push({ kind: "status", status: runner.status });
  if (runner.availability !== "active") {
    unmet.push({ kind: "availability", availability: runner.availability, reason: runner.availabilityReason });
  }
  return unmet;
}

function checkLabels(demand: Demand, { member: { runner } }: Candidate): readonly Unmet[] {
  let unmet: Unmet[] | undefined;
  for (const requirement of demand.requirements) {
    if (runner.isUnknown && requirement.key.startsWith(reservedLabelPrefix)) continue;
    const found = runner.labels.get(requirement.key);
    if (!meetsRequirement(found, requirement)) (unmet ??= []).push({ kind: "label", requirement, found });
  }
  return unmet ?? met;
}

function checkCapabilities(demand: Demand, { member: { runner } }: Candidate): readonly Unmet[] {
  let unmet: Unmet[] | undefined;
  for (const capability of demand.capabilities) {
    if (hasCapability(runner, capability)) continue;
    const declared = declaresCapability(runner, capability);
    (unmet ??= []).push({ kind: "capability", capability, declared });
  }
  return unmet ?? met;
}

function checkExecutor(demand: Demand, { member: { runner } }: Candidate): readonly Unmet[] {
  return runner.isUnknown || runner.executors.includes(demand.executor)
    ? met
    : [{ kind: "executor", executor: demand.executor }];
}

/** An amount above the total can never be had; one above what is free can be had later. */
function checkCapacity(demand: Demand, { member }: Candidate): readonly Unmet[] {
  let unmet: Unmet[] | undefined;
  if (member.runner.isUnknown) return met;
  for (const [resource, wanted] of demand.resources) {
    const total = member.runner.capacity.get(resource) ?? 0;
    const used = member.used.get(resource) ?? 0;
    if (!hasRoom(total, wanted)) (unmet ??= []).push({ kind: "total", resource, wanted, total });
    else if (!hasRoom(settledAmount(total - used), wanted))
      (unmet ??= []).push({ kind: "free", resource, wanted, total, used });
  }
  return unmet ?? met;
}

function checkExclusion(_demand: Demand, { excluded }: Candidate): readonly Unmet[] {
  return excluded ? [{ kind: "excluded" }] : met;
}

/** Whether a runner is enrolled and active. */
export function isReady(runner: Runner): boolean {
  return runner.status === "enrolled" && runner.availability === "active";
}

/** Whether `wanted` fits into `amount`. Wanting nothing fits everywhere; an amount that is no number fits nowhere. */
export function hasRoom(amount: number, wanted: number): boolean {
  return wanted <= 0 || amount >= wanted;
}

/** An amount without what binary fractions leave behind (0.3 - 0.1 is 0.2): millionths are kept, below that it is rounded. */
export function settledAmount(amount: number): number {
  return Number.isInteger(amount) ? amount : Math.round(amount * 1e6) / 1e6;
}

/** How a candidate stands to a demand: `free` takes it now, the others say what is in the way. */
export type Standing = "free" | "full" | "unavailable" | "never";

/** How a candidate stands, from everything it leaves unmet: what lasts outweighs what passes. */
export function standingOf(unmet: readonly Unmet[]): Standing {
  let standing: Standing = "free";
  for (const item of unmet) {
    const one = standingOfOne(item);
    if (one === "never") return "never";
    if (standing !== "unavailable") standing = one;
  }
  return standing;
}

function standingOfOne(unmet: Unmet): Exclude<Standing, "free"> {
  switch (unmet.kind) {
    case "scope":
    case "label":
    case "capability":
    case "executor":
    case "total":
      return "never";
    case "status":
    case "availability":
    case "excluded":
      return "unavailable";
    case "free":
      return "full";
  }
}

/** Why no runner takes a demand now: none ever could, those that could are away or excluded, or they are full. */
export type NoneVerdict = "never" | "unavailable" | "full";

/** The verdict where no candidate is free, from how many of them are full and how many unavailable. */
export function noneVerdict(counts: Readonly<{ full: number; unavailable: number }>): NoneVerdict {
  if (counts.full > 0) return "full";
  return counts.unavailable > 0 ? "unavailable" : "never";
}

/** Everything the candidate leaves unmet, over all rules, in their order. */
export function unmetOf(demand: Demand, candidate: Candidate): Unmet[] {
  return rules.flatMap((rule) => rule.check(demand, candidate));
}

/** Whether the candidate passes every rule. */
export function isEligible(demand: Demand, candidate: Candidate): boolean {
  return rules.every((rule) => rule.check(demand, candidate).length === 0);
}
