export type RunnerScope = Readonly<{ kind: "organization"; organizationId: string }> | Readonly<{ kind: "cluster" }>;

export type RunnerStatus = "pending" | "enrolled" | "offline";

export type RunnerAvailability = "active" | "paused" | "draining" | "locked";

/** A runner as selection sees it. `labels` are the effective ones: see {@link effectiveLabels}. */
export type Runner = Readonly<{
  id: string;
  name: string;
  scope: RunnerScope;
  status: RunnerStatus;
  availability: RunnerAvailability;
  /** Why an operator (or clone detection) set the availability; empty where nobody said. */
  availabilityReason: string;
  labels: ReadonlyMap<string, string>;
  declaredCapabilities: readonly string[];
  foundCapabilities: readonly string[];
  executors: readonly string[];
  /** It has not said yet what it is: executors, capacity and reported labels are not known, and no demand fails on them. */
  isUnknown?: true;
  /** Totals by resource; a resource that is not named is not there. */
  capacity: ReadonlyMap<string, number>;
}>;

/** Labels under this prefix are reported by runners and by nobody else. */
export const reservedLabelPrefix = "agyn/";

/** Capabilities a runner can look for itself: such a one counts only when it is declared and found. */
export const detectableCapabilities: ReadonlySet<string> = new Set(["docker", "git", "node", "gpu"]);

/**
 * The labels a runner matches by: what operators declared, and of what the runner reports only the reserved ones; so a
 * runner cannot grant itself a label, and an operator cannot forge a reported fact.
 */
export function effectiveLabels(
  declared: ReadonlyMap<string, string>,
  reported: ReadonlyMap<string, string>,
): ReadonlyMap<string, string> {
  const labels = new Map<string, string>();
  for (const [key, value] of declared) if (!key.startsWith(reservedLabelPrefix)) labels.set(key, value);
  for (const [key, value] of reported) if (key.startsWith(reservedLabelPrefix)) labels.set(key, value);
  return labels;
}

/** As on labels of issues: a capability means the same with it and without. */
const agentPrefix = "agent:";

/** What a declared capability stands for: `code:rust` also for `code`, and `agent:code` for `code`. */
function meaningsOf(declared: string): string[] {
  const bare = declared.startsWith(agentPrefix) ? declared.slice(agentPrefix.length) : declared;
  const parts = bare.split(":");
  return [declared, ...parts.map((_, index) => parts.slice(0, parts.length - index).join(":"))];
}

/** Whether an operator declared the capability, or one that is a kind of it. */
export function declaresCapability({ declaredCapabilities }: Runner, capability: string): boolean {
  return declaredCapabilities.some((one) => one === capability || meaningsOf(one).includes(capability));
}

/** Whether the runner has `capability` in effect: declared, and found where it can be looked for. */
export function hasCapability(runner: Runner, capability: string): boolean {
  return (
    declaresCapability(runner, capability) &&
    (!detectableCapabilities.has(capability) || runner.foundCapabilities.includes(capability))
  );
}

/** The capabilities in effect, in the order they were declared, each with what it is a kind of. */
export function effectiveCapabilities(runner: Runner): string[] {
  const all = new Set(runner.declaredCapabilities.flatMap(meaningsOf));
  return [...all].filter((capability) => hasCapability(runner, capability));
}

/** The capabilities an operator declared that the runner looked for and did not find. */
export function declaredButNotFound(runner: Runner): string[] {
  return runner.declaredCapabilities.filter((capability) => !hasCapability(runner, capability));
}

/** Whether workloads of the organization may run there: its own runners and those of the cluster (I7). */
export function servesOrganization(runner: Runner, organizationId: string): boolean {
  return runner.scope.kind === "cluster" || runner.scope.organizationId === organizationId;
}
