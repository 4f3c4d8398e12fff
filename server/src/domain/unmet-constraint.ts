import { type Constraint, type Explanation, namedRunnersLimit } from "./explanation.ts";

/** Constraints named in one message before the rest are counted. */
const namedConstraintsLimit = 3;

/**
 * Why no runner takes the demand now, in one line that names the unmet constraint; for a demand that can be placed, how
 * many runners could take it.
 */
export function unmetConstraintText(
  explanation: Explanation,
  { organizationName }: { organizationName: string },
): string {
  const { counts } = explanation;
  switch (explanation.verdict) {
    case "placeable":
      return counts.eligible === 1
        ? "1 runner can take this workload"
        : `${counts.eligible} runners can take this workload`;
    case "never":
      return `no runner can take this workload: ${neverText(explanation, organizationName)}`;
    case "unavailable":
      return unavailableText(explanation);
    case "full":
      return fullText(explanation);
  }
}

function neverText(explanation: Explanation, organizationName: string): string {
  const { counts, constraints, nearest } = explanation;
  const count = counts.organization + counts.cluster;
  const where = `organization ${organizationName} and the cluster`;
  if (count === 0) return `there are no runners in ${where}`;

  const runners = count === 1 ? `the only runner of ${where}` : `the ${count} runners of ${where}`;
  const unmet = constraints.filter(({ metBy }) => metBy === 0);
  const what =
    unmet.length > 0
      ? listed(
          unmet.map((constraint) => constraintText(constraint, count, runners)),
          namedConstraintsLimit,
          "; ",
        )
      : `each constraint is met by some of ${runners}, all of them by none`;
  return nearest === undefined ? what : `${what}; nearest: ${nearest.name} (lacks ${nearest.lacks.join(", ")})`;
}

function constraintText(constraint: Constraint, count: number, runners: string): string {
  const { kind, text, declaredButNotFound, largestTotal } = constraint;
  const none = (preposition: string) =>
    count === 1 ? `not ${preposition} ${runners}` : `${preposition} none of ${runners}`;
  switch (kind) {
    case "capability":
      if (declaredButNotFound === 0) return `capability "${text}" is ${none("on")}`;
      return `capability "${text}" is declared but not found on ${count === 1 ? runners : `${declaredButNotFound} of ${runners}`}`;
    case "label":
      return `label ${text} is ${none("met by")}`;
    case "executor":
      return `executor "${text}" is ${none("offered by")}`;
    case "resource":
      return `${text} wanted, which is more than ${count === 1 ? runners : `any of ${runners}`} has in total (at most ${largestTotal})`;
  }
}

function unavailableText({ counts, unavailable, smallestChange }: Explanation): string {
  const sentence =
    counts.unavailable === 1 ? "1 runner could take it but" : `${counts.unavailable} runners could take it but`;
  const names = unavailable.map(({ name }) => name);
  const reasons = new Set(unavailable.map(({ why }) => why));
  const [why] = reasons;
  const said =
    reasons.size === 1 && why !== undefined
      ? `${counts.unavailable === 1 ? why : plural(why)}: ${withRest(names, counts.unavailable)}`
      : `none is available: ${withRest(
          unavailable.map((one) => `${one.name} ${one.why}`),
          counts.unavailable,
        )}`;
  return smallestChange === undefined ? `${sentence} ${said}` : `${sentence} ${said}; to go on: ${smallestChange}`;
}

function fullText({ counts }: Explanation): string {
  const runners =
    counts.full === 1
      ? "the 1 runner that could take it is full"
      : `all ${counts.full} runners that could take it are full`;
  const more =
    counts.unavailable === 0
      ? ""
      : `, and ${counts.unavailable} more ${counts.unavailable === 1 ? "is" : "are"} unavailable`;
  return `${runners}${more}; it is placed as soon as one has room`;
}

function plural(why: string): string {
  return why
    .split(" and ")
    .map((part) => {
      if (part.startsWith("is ")) return `are ${part.slice(3)}`;
      return part.startsWith("has ") ? `have ${part.slice(4)}` : part;
    })
    .join(" and ");
}

function withRest(names: readonly string[], count: number): string {
  return count > namedRunnersLimit ? `${names.join(", ")} and ${count - names.length} more` : names.join(", ");
}

function listed(texts: readonly string[], limit: number, separator: string): string {
  const named = texts.slice(0, limit).join(separator);
  return texts.length > limit ? `${named}${separator}and ${texts.length - limit} more` : named;
}
