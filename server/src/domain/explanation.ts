/** Why each runner takes a demand or does not, from the very rules that picking goes by (I8). */
import { type Demand, preferenceScore, type Requirement, requirementText } from "./demand.ts";
import { type Runner, servesOrganization } from "./runner.ts";
import {
  type Candidate,
  type FleetMember,
  noneVerdict,
  type NoneVerdict,
  type RuleName,
  rules,
  type Standing,
  standingOf,
  type Unmet,
} from "./selection.ts";
import { amountText, lackText, metText, remedyText, unmetText } from "./unmet-text.ts";

/** What one rule says of one runner. */
export type RuleVerdict = Readonly<{ rule: RuleName; ok: boolean; text: string }>;

export type RunnerExplanation = Readonly<{
  runnerId: string;
  name: string;
  scopeKind: Runner["scope"]["kind"];
  standing: Standing;
  /** What the demand's preferences add up to on this runner. */
  score: number;
  /** One for each rule, in their order. */
  verdicts: readonly RuleVerdict[];
}>;

/** One lasting thing the demand asks for, and how many of the visible runners have it. */
export type Constraint = Readonly<{
  kind: "label" | "capability" | "executor" | "resource";
  text: string;
  metBy: number;
  /** The runners that declare the capability without having found it; 0 for other kinds. */
  declaredButNotFound: number;
  /** The most that any visible runner has in total of the resource; 0 for other kinds. */
  largestTotal: number;
}>;

export type ExplanationCounts = Readonly<{
  organization: number;
  cluster: number;
  eligible: number;
  full: number;
  unavailable: number;
  never: number;
}>;

export type Explanation = Readonly<{
  verdict: "placeable" | NoneVerdict;
  /** Every visible runner that passes all rules, those preferred most first. */
  eligibleRunnerIds: readonly string[];
  /** At most `limit` runners: those that fit first, then those that lack least. */
  runners: readonly RunnerExplanation[];
  /** The runner that lacks least, where none could ever take the demand. */
  nearest?: Readonly<{ runnerId: string; name: string; lacks: readonly string[] }>;
  /** The act that would make the nearest runner fit; absent where the demand can be placed. */
  smallestChange?: string;
  /** The demand's lasting constraints, scarcest first. */
  constraints: readonly Constraint[];
  /** Up to {@link namedRunnersLimit} of the runners that could take it but are away, with why. */
  unavailable: readonly Readonly<{ name: string; why: string }>[];
  counts: ExplanationCounts;
}>;

export type ExplainOptions = Readonly<{
  /** Runners left out for this workload for a while. */
  excluded: ReadonlySet<string>;
  /** Only this organization's runners and those of the cluster appear (I7). */
  viewerOrganizationId: string;
  /** Runners explained one by one. */
  limit: number;
}>;

/** Runners named in one sentence before the rest are counted. */
export const namedRunnersLimit = 5;

type Judged = Readonly<{ candidate: Candidate; unmet: readonly Unmet[]; standing: Standing; score: number }>;

/** Explains a demand over a fleet, of which it reads only what the viewing organization may see. */
export function explain(fleet: Iterable<FleetMember>, demand: Demand, options: ExplainOptions): Explanation {
  const judged: Judged[] = [];
  for (const member of fleet) {
    if (!servesOrganization(member.runner, options.viewerOrganizationId)) continue;
    judged.push(judge(demand, { member, excluded: options.excluded.has(member.runner.id) }));
  }
  judged.sort(compareNearness);

  const counts = count(judged);
  const eligible = judged.slice(0, counts.eligible);
  const verdict = counts.eligible > 0 ? "placeable" : noneVerdict(counts);
  const nearest = verdict === "placeable" ? undefined : judged[0];
  return {
    verdict,
    eligibleRunnerIds: eligible.map(({ candidate }) => candidate.member.runner.id),
    runners: judged.slice(0, options.limit).map((one) => explainRunner(demand, one)),
    ...(verdict === "never" && nearest !== undefined && { nearest: describeNearest(nearest) }),
    ...(verdict !== "placeable" && { smallestChange: changeText(nearest) }),
    constraints: constraintsOf(demand, judged),
    unavailable: judged
      .slice(counts.eligible + counts.full, counts.eligible + counts.full + counts.unavailable)
      .slice(0, namedRunnersLimit)
      .map(describeUnavailable),
    counts,
  };
}

function judge(demand: Demand, candidate: Candidate): Judged {
  const unmet = rules.flatMap((rule) => rule.check(demand, candidate));
  const score = preferenceScore(candidate.member.runner.labels, demand.preferences);
  return { candidate, unmet, standing: standingOf(unmet), score };
}

const standingRank = { free: 0, full: 1, unavailable: 2, never: 3 } as const;

function compareNearness(a: Judged, b: Judged): number {
  const left = a.candidate.member.runner;
  const right = b.candidate.member.runner;
  return (
    standingRank[a.standing] - standingRank[b.standing] ||
    lasting(a.unmet).length - lasting(b.unmet).length ||
    a.unmet.length - b.unmet.length ||
    compareNumbers(b.score, a.score) ||
    compareTexts(left.name, right.name) ||
    compareTexts(left.id, right.id)
  );
}

function compareNumbers(a: number, b: number): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

function compareTexts(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

/** What no waiting will change. */
function lasting(unmet: readonly Unmet[]): Unmet[] {
  return unmet.filter((item) => standingOf([item]) === "never");
}

function count(judged: readonly Judged[]): ExplanationCounts {
  const counts = { organization: 0, cluster: 0, eligible: 0, full: 0, unavailable: 0, never: 0 };
  for (const { candidate, standing } of judged) {
    counts[candidate.member.runner.scope.kind]++;
    counts[standing === "free" ? "eligible" : standing]++;
  }
  return counts;
}

function explainRunner(demand: Demand, { candidate, standing, score }: Judged): RunnerExplanation {
  const { runner } = candidate.member;
  const verdicts = rules.map((rule): RuleVerdict => {
    const unmet = rule.check(demand, candidate);
    const ok = unmet.length === 0;
    const text = ok ? metText(rule.name, demand, candidate) : unmet.map((item) => unmetText(item, runner)).join("; ");
    return { rule: rule.name, ok, text };
  });
  return { runnerId: runner.id, name: runner.name, scopeKind: runner.scope.kind, standing, score, verdicts };
}

function describeNearest({ candidate, unmet }: Judged): { runnerId: string; name: string; lacks: string[] } {
  const { id, name } = candidate.member.runner;
  return { runnerId: id, name, lacks: lasting(unmet).map(lackText) };
}

function describeUnavailable({ candidate, unmet }: Judged): { name: string; why: string } {
  const { runner } = candidate.member;
  const away = unmet.filter((item) => standingOf([item]) === "unavailable");
  return { name: runner.name, why: away.map((item) => unmetText(item, runner)).join(" and ") };
}

function changeText(nearest: Judged | undefined): string {
  if (nearest === undefined) return "register a runner";
  return nearest.unmet.map((item) => remedyText(item, nearest.candidate.member.runner)).join(" and ");
}

/** Counts, for each lasting thing the demand asks for, the runners whose rules did not find it unmet. */
function constraintsOf(demand: Demand, judged: readonly Judged[]): Constraint[] {
  const lacking = new Map<string, number>();
  const undetected = new Map<string, number>();
  const largest = new Map<string, number>();
  const indexes = new Map(demand.requirements.map((requirement, index) => [requirement, index]));
  for (const { candidate, unmet } of judged) {
    for (const item of unmet) {
      const key = constraintKey(indexes, item);
      if (key !== undefined) lacking.set(key, (lacking.get(key) ?? 0) + 1);
      if (key !== undefined && item.kind === "capability" && item.declared)
        undetected.set(key, (undetected.get(key) ?? 0) + 1);
    }
    for (const resource of demand.resources.keys()) {
      const total = candidate.member.runner.capacity.get(resource) ?? 0;
      largest.set(resource, Math.max(largest.get(resource) ?? 0, total));
    }
  }

  const constraint = (kind: Constraint["kind"], name: string | number, text: string): Constraint => ({
    kind,
    text,
    metBy: judged.length - (lacking.get(`${kind} ${name}`) ?? 0),
    declaredButNotFound: undetected.get(`${kind} ${name}`) ?? 0,
    largestTotal: kind === "resource" ? (largest.get(String(name)) ?? 0) : 0,
  });
  const constraints = [
    ...demand.requirements.map((requirement, index) => constraint("label", index, requirementText(requirement))),
    ...Array.from(new Set(demand.capabilities), (capability) => constraint("capability", capability, capability)),
    constraint("executor", demand.executor, demand.executor),
    ...Array.from(demand.resources, ([resource, amount]) =>
      constraint("resource", resource, amountText(resource, amount)),
    ),
  ];
  return constraints.sort((a, b) => a.metBy - b.metBy);
}

function constraintKey(indexes: ReadonlyMap<Requirement, number>, unmet: Unmet): string | undefined {
  switch (unmet.kind) {
    case "label":
      return `label ${indexes.get(unmet.requirement)}`;
    case "capability":
      return `capability ${unmet.capability}`;
    case "executor":
      return `executor ${unmet.executor}`;
    case "total":
      return `resource ${unmet.resource}`;
    case "scope":
    case "status":
    case "availability":
    case "free":
    case "excluded":
      return undefined;
  }
}
