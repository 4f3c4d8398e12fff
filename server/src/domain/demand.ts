import { compareDecimals } from "./decimal.ts";

export type Operator = "in" | "not_in" | "exists" | "not_exists" | "greater" | "less";

/** What one label must be. `greater` and `less` compare with each of `values`; `exists` and `not_exists` have none. */
export type Requirement = Readonly<{ key: string; operator: Operator; values: readonly string[] }>;

/** A requirement that is wished for: a runner that meets it gains `weight` (which may be negative). */
export type Preference = Readonly<{ requirement: Requirement; weight: number }>;

/**
 * What a workload asks of a runner. `resources` always has `slots` (≥ 0); amounts are in the unit the runners declare.
 * How many terms a demand may have is bounded where it enters, not here.
 */
export type Demand = Readonly<{
  organizationId: string;
  requirements: readonly Requirement[];
  capabilities: readonly string[];
  executor: string;
  resources: ReadonlyMap<string, number>;
  preferences: readonly Preference[];
}>;

/** Whether a label's value (`undefined` where the label is absent) meets `requirement`. Values are compared literally. */
export function meetsRequirement(value: string | undefined, requirement: Requirement): boolean {
  switch (requirement.operator) {
    case "in":
      return value !== undefined && requirement.values.includes(value);
    case "not_in":
      return value === undefined || !requirement.values.includes(value);
    case "exists":
      return value !== undefined;
    case "not_exists":
      return value === undefined;
    case "greater":
      return value !== undefined && comparesWithAll(value, requirement.values, 1);
    case "less":
      return value !== undefined && comparesWithAll(value, requirement.values, -1);
  }
}

function comparesWithAll(value: string, bounds: readonly string[], sign: -1 | 1): boolean {
  return bounds.length > 0 && bounds.every((bound) => compareDecimals(value, bound) === sign);
}

/** The sum of the weights of the preferences that `labels` meet; a weight that is no finite number counts as 0. */
export function preferenceScore(labels: ReadonlyMap<string, string>, preferences: readonly Preference[]): number {
  let score = 0;
  for (const { requirement, weight } of preferences) {
    if (Number.isFinite(weight) && meetsRequirement(labels.get(requirement.key), requirement)) score += weight;
  }
  return score;
}

/** Values named in a requirement's text before the rest are counted. */
const namedValuesLimit = 8;

/** A requirement for people: `region in (us, eu)`, `agyn/cpus > 4`, `gpu exists`. */
export function requirementText({ key, operator, values }: Requirement): string {
  switch (operator) {
    case "in":
      return `${key} in (${valuesText(values)})`;
    case "not_in":
      return `${key} not in (${valuesText(values)})`;
    case "exists":
      return `${key} exists`;
    case "not_exists":
      return `${key} does not exist`;
    case "greater":
      return `${key} > ${valuesText(values)}`;
    case "less":
      return `${key} < ${valuesText(values)}`;
  }
}

function valuesText(values: readonly string[]): string {
  const named = values.slice(0, namedValuesLimit).join(", ");
  return values.length > namedValuesLimit ? `${named}, and ${values.length - namedValuesLimit} more` : named;
}
