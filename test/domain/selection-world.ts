import fc from "fast-check";
import type { Demand, Requirement } from "../../server/src/domain/demand.ts";
import type { Runner } from "../../server/src/domain/runner.ts";

/** A runner of organization `acme`, enrolled and active, with one slot and the executor `process`. */
export function runnerOf(changes: Partial<Runner> & { id: string }): Runner {
  return {
    name: changes.id,
    scope: { kind: "organization", organizationId: "acme" },
    status: "enrolled",
    availability: "active",
    availabilityReason: "",
    labels: new Map(),
    declaredCapabilities: [],
    foundCapabilities: [],
    executors: ["process"],
    capacity: new Map([["slots", 1]]),
    ...changes,
  };
}

/** A demand of `acme` for one slot of the executor `process`, and nothing else. */
export function demandOf(changes: Partial<Demand> = {}): Demand {
  return {
    organizationId: "acme",
    requirements: [],
    capabilities: [],
    executor: "process",
    resources: new Map([["slots", 1]]),
    preferences: [],
    ...changes,
  };
}

export const nobody: ReadonlySet<string> = new Set();

const organizations = fc.constantFrom("acme", "other", "__proto__");
const labelKeys = fc.constantFrom("region", "tier", "cpus", "__proto__", "constructor");
const labelValues = fc.constantFrom("eu", "us", "4", "16", "16.5", "-0", "", "(a+)+$");
const capabilities = fc.constantFrom("docker", "gpu", "licence", "constructor");
const executors = fc.constantFrom("process", "container");
const resources = fc.constantFrom("slots", "memory", "toString");

const scopes: fc.Arbitrary<Runner["scope"]> = fc.oneof(
  fc.constant({ kind: "cluster" as const }),
  organizations.map((organizationId) => ({ kind: "organization" as const, organizationId })),
);

const labels = fc.array(fc.tuple(labelKeys, labelValues), { maxLength: 4 }).map((pairs) => new Map(pairs));

/** Amounts a workload takes, or a runner has. */
export const someResources = (most: number): fc.Arbitrary<ReadonlyMap<string, number>> =>
  fc
    .tuple(fc.integer({ min: 0, max: most }), fc.array(fc.tuple(resources, fc.integer({ min: 0, max: most * 2 }))))
    .map(([slots, more]) => new Map([["slots", slots], ...more]));

/** A runner under one of the ids, mostly ready, of any scope. */
export const someRunner = (ids: fc.Arbitrary<string>): fc.Arbitrary<Runner> =>
  someKnownRunner(ids).map((runner) => (runner.status === "pending" ? { ...runner, isUnknown: true } : runner));

const someKnownRunner = (ids: fc.Arbitrary<string>): fc.Arbitrary<Runner> =>
  fc.record({
    id: ids,
    name: fc.constantFrom("build-1", "build-2", "__proto__"),
    scope: scopes,
    status: fc.constantFrom(
      "enrolled" as const,
      "enrolled" as const,
      "enrolled" as const,
      "offline" as const,
      "pending" as const,
    ),
    availability: fc.constantFrom(
      "active" as const,
      "active" as const,
      "active" as const,
      "paused" as const,
      "locked" as const,
    ),
    availabilityReason: fc.constant(""),
    labels,
    declaredCapabilities: fc.uniqueArray(capabilities),
    foundCapabilities: fc.uniqueArray(capabilities),
    executors: fc.uniqueArray(executors),
    capacity: someResources(4),
  });

const someRequirement: fc.Arbitrary<Requirement> = fc.record({
  key: labelKeys,
  operator: fc.constantFrom("in", "not_in", "exists", "not_exists", "greater", "less"),
  values: fc.array(labelValues, { maxLength: 3 }),
});

export const someDemand: fc.Arbitrary<Demand> = fc.record({
  organizationId: organizations,
  requirements: fc.array(someRequirement, { maxLength: 2 }),
  capabilities: fc.array(capabilities, { maxLength: 1 }),
  executor: executors,
  resources: someResources(2),
  preferences: fc.array(
    fc.record({ requirement: someRequirement, weight: fc.constantFrom(1, 2, -1, 0.5, 0, -0, Number.NaN, Infinity) }),
    { maxLength: 5 },
  ),
});
