/** What a rule found, in words for people. */
import { type Demand, requirementText } from "./demand.ts";
import { type Runner, reservedLabelPrefix } from "./runner.ts";
import type { Candidate, RuleName, Unmet } from "./selection.ts";

/** Why one thing keeps the runner from taking the workload. Of a shared runner's load only that it is taken (I7). */
export function unmetText(unmet: Unmet, runner: Runner): string {
  switch (unmet.kind) {
    case "scope":
      return "belongs to another organization";
    case "status":
      return unmet.status === "pending" ? "has not enrolled yet" : "is offline";
    case "availability":
      return unmet.reason === "" ? `is ${unmet.availability}` : `is ${unmet.availability} (${unmet.reason})`;
    case "label":
      return `${requirementText(unmet.requirement)}: ${foundText(unmet.requirement.key, unmet.found)}`;
    case "capability":
      return `${unmet.capability}: ${unmet.declared ? "declared but not found" : "not declared"}`;
    case "executor":
      return `has no executor ${unmet.executor}`;
    case "total":
      return `${amountText(unmet.resource, unmet.wanted)} wanted, ${unmet.total} in total`;
    case "free":
      return runner.scope.kind === "cluster"
        ? `${amountText(unmet.resource, unmet.wanted)} wanted, capacity is taken`
        : `${amountText(unmet.resource, unmet.wanted)} wanted, ${Math.max(0, unmet.total - unmet.used)} of ${unmet.total} free`;
    case "excluded":
      return "rejected this workload before and is left out for a while";
  }
}

/** What a runner lacks, for "lacks …": `capability gpu`, `label region in (us)`. */
export function lackText(unmet: Unmet): string {
  switch (unmet.kind) {
    case "label":
      return `label ${requirementText(unmet.requirement)}`;
    case "capability":
      return `capability ${unmet.capability}${unmet.declared ? " (declared but not found)" : ""}`;
    case "executor":
      return `executor ${unmet.executor}`;
    case "total":
      return `${amountText(unmet.resource, unmet.wanted)} (has ${unmet.total})`;
    case "free":
      return `${amountText(unmet.resource, unmet.wanted)} free`;
    case "scope":
      return "the organization's scope";
    case "status":
      return unmet.status === "pending" ? "enrollment" : "a live session";
    case "availability":
      return `availability active (is ${unmet.availability})`;
    case "excluded":
      return "the end of its exclusion";
  }
}

/** The act that would make the runner meet it. */
export function remedyText(unmet: Unmet, { name, executors }: Runner): string {
  switch (unmet.kind) {
    case "scope":
      return `use a runner of the organization instead of ${name}`;
    case "status":
      return unmet.status === "pending" ? `enroll ${name}` : `start ${name} again`;
    case "availability":
      return unmet.availability === "locked" ? `unlock ${name}` : `resume ${name}`;
    case "label":
      return labelRemedy(unmet, name);
    case "capability":
      return unmet.declared
        ? `install ${unmet.capability} on ${name}`
        : `declare capability ${unmet.capability} on ${name}`;
    case "executor":
      return `ask for an executor of ${name} (${executors.join(", ") || "it has none"})`;
    case "total":
      return `give ${name} ${amountText(unmet.resource, unmet.wanted)} or ask for at most ${unmet.total}`;
    case "free":
      return `wait until ${name} has ${amountText(unmet.resource, unmet.wanted)} free`;
    case "excluded":
      return `wait until ${name} is considered again`;
  }
}

function labelRemedy({ requirement, found }: Extract<Unmet, { kind: "label" }>, name: string): string {
  if (requirement.key.startsWith(reservedLabelPrefix)) {
    return `register a runner like ${name} where ${requirementText(requirement)}`;
  }
  const [first] = requirement.values;
  switch (requirement.operator) {
    case "in":
      return first === undefined
        ? `name a value for label ${requirement.key}`
        : `label ${name} with ${requirement.key}=${first}`;
    case "exists":
      return `label ${name} with ${requirement.key}`;
    case "not_in":
    case "not_exists":
      return `remove label ${requirement.key}=${found ?? ""} from ${name}`;
    case "greater":
      return `give ${name} a label ${requirement.key} above ${first}`;
    case "less":
      return `give ${name} a label ${requirement.key} below ${first}`;
  }
}

/** What a passed rule found, in words. */
export function metText(rule: RuleName, demand: Demand, { member: { runner } }: Candidate): string {
  switch (rule) {
    case "scope":
      return runner.scope.kind === "cluster" ? "serves every organization" : "belongs to the organization";
    case "ready":
      return "is enrolled and active";
    case "labels":
      return demand.requirements.map(requirementText).join("; ") || "none required";
    case "capabilities":
      return demand.capabilities.join(", ") || "none required";
    case "executor":
      return demand.executor;
    case "capacity":
      return Array.from(demand.resources, ([resource, amount]) => amountText(resource, amount)).join(", ") + " free";
    case "exclusion":
      return "not left out";
  }
}

/** `1 slot`, `8 slots`, `2048 memory`. */
export function amountText(resource: string, amount: number): string {
  return `${amount} ${resource === "slots" && amount === 1 ? "slot" : resource}`;
}

function foundText(key: string, found: string | undefined): string {
  return found === undefined ? "label is absent" : `has ${key}=${found}`;
}
