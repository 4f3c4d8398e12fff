import { hasStatusCall } from "./expressions/check-expression.ts";
import { evaluateExpression, isTruthy, type Evaluation } from "./expressions/evaluate-expression.ts";
import { parseCondition } from "./expressions/templates.ts";
import type {
  Artifacts,
  EndedJob,
  JobContext,
  JobEvaluation,
  LabelRequirement,
  PlannedJob,
  Problem,
  Requires,
  SkipCause,
  Text,
} from "./pipeline.ts";
import { keyPath, quote } from "./problems.ts";
import { attempt, createEvaluation, resolveConcurrency, resolveText, type Resolving } from "./resolve-texts.ts";

/**
 * Decides whether a job whose needs have all ended runs, and resolves its texts. Total: a text or a condition that cannot be
 * resolved is a problem, with the path of the word that holds it.
 */
export function evaluateJob(planned: PlannedJob, context: JobContext): JobEvaluation {
  const { definition, matrix, key } = planned;
  const path = keyPath("jobs", key);
  const { cancelled, inputs, run } = context;
  const outcome = outcomeOf(context.needs);
  const status = {
    success: !cancelled && outcome === undefined,
    failure: !cancelled && outcome === "needs_failed",
    always: true,
    cancelled: cancelled || outcome === "needs_cancelled",
  };
  const problems: Problem[] = [];
  const outer = { inputs, run };
  const pipelineEnv = resolveEnv(context.env, "env", { evaluation: createEvaluation(outer), problems });
  const contexts = { ...outer, matrix, needs: toNeeds(context.needs), env: pipelineEnv };
  const evaluation = createEvaluation(contexts, status);
  const ownEnv = resolveEnv(definition.env, keyPath(path, "env"), { evaluation, problems });
  const env = { ...pipelineEnv, ...ownEnv };
  const resolving: Resolving = { evaluation: { ...evaluation, contexts: { ...contexts, env } }, problems };

  const runs = attempt(keyPath(path, "if"), problems, () => decide(definition.if, resolving.evaluation));
  if (problems.length > 0 || runs === undefined) return { kind: "problems", problems };
  if (!runs) return skip(definition.if, context, outcome);

  const { container, concurrency, secrets } = definition;
  const at = (word: string): string => keyPath(path, word);
  const job = {
    env,
    secrets,
    container: container === null ? null : resolveText(container, "container", at("container"), resolving),
    concurrency: resolveConcurrency(concurrency, at("concurrency"), resolving),
    artifacts: resolveArtifacts(definition.artifacts, at("artifacts"), resolving),
    requires: resolveRequires(definition.requires, at("requires"), resolving),
  };
  return problems.length > 0
    ? { kind: "problems", problems }
    : { kind: "run", reason: reasonToRun(definition.if), job };
}

/** What the needed jobs came to, in the order of weight; `undefined` where all succeeded. */
function outcomeOf(needs: readonly EndedJob[]): SkipCause | undefined {
  const causes = needs.map(causeOf);
  const weighed = ["needs_failed", "needs_cancelled", "needs_skipped"] as const;
  return weighed.find((cause) => causes.includes(cause));
}

/** What an ended job means for those that need it: a skipped one hands on why it was. */
function causeOf({ state, cause }: EndedJob): SkipCause | undefined {
  switch (state) {
    case "succeeded":
      return undefined;
    case "failed":
      return "needs_failed";
    case "cancelled":
      return "needs_cancelled";
    case "skipped":
      return cause === null || cause === "condition" ? "needs_skipped" : cause;
  }
}

/** A condition that asks for no status holds only where `success()` does. */
function decide(condition: string | null, evaluation: Evaluation): boolean {
  if (condition === null) return evaluation.status.success;
  const expression = parseCondition(condition);
  if (!hasStatusCall(expression) && !evaluation.status.success) return false;
  return isTruthy(evaluateExpression(expression, evaluation));
}

function skip(
  condition: string | null,
  { cancelled, needs }: JobContext,
  outcome: SkipCause | undefined,
): JobEvaluation {
  const cause = outcome ?? (cancelled ? "needs_cancelled" : "condition");
  const isOwn = condition !== null && (cause === "condition" || hasStatusCall(parseCondition(condition)));
  if (isOwn) return { kind: "skip", cause, reason: `its condition is false: ${quote(condition)}` };
  if (cancelled) return { kind: "skip", cause, reason: "the run is cancelled" };
  const culprits = needs.filter((need) => causeOf(need) === outcome).map(({ key, state }) => `${key} ${state}`);
  return { kind: "skip", cause, reason: `of the jobs it needs: ${[...new Set(culprits)].join(", ")}` };
}

function reasonToRun(condition: string | null): string {
  return condition === null ? "every job it needs succeeded" : `its condition holds: ${quote(condition)}`;
}

/** What expressions see of the needed jobs, by definition; the cells of a matrix count together. */
function toNeeds(needs: readonly EndedJob[]): Readonly<Record<string, unknown>> {
  const byKey = Map.groupBy(needs, ({ key }) => key);
  return Object.fromEntries(
    [...byKey].map(([key, jobs]) => {
      const outputs = jobs.length === 1 ? jobs[0]!.outputs : {};
      return [key, { state: stateOf(jobs), outputs }];
    }),
  );
}

/** Failed where one failed, else cancelled where one was; skipped where all were. */
function stateOf(jobs: readonly EndedJob[]): EndedJob["state"] {
  const states = jobs.map(({ state }) => state);
  if (states.includes("failed")) return "failed";
  if (states.includes("cancelled")) return "cancelled";
  return states.every((state) => state === "skipped") ? "skipped" : "succeeded";
}

function resolveEnv(env: Readonly<Record<string, Text>>, path: string, resolving: Resolving): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).map(([name, text]) => [name, resolveText(text, "variable", keyPath(path, name), resolving)]),
  );
}

function resolveArtifacts(
  { upload, download }: Artifacts<Text>,
  path: string,
  resolving: Resolving,
): Artifacts<string> {
  const name = (text: Text, word: string, index: number): string =>
    resolveText(text, "artifact", `${keyPath(path, word)}[${index}]`, resolving);
  const uploads = upload.map((item, index) => ({ ...item, name: name(item.name, "upload", index) }));
  for (const [index, item] of uploads.entries()) {
    const isTwice = uploads.findIndex((other) => other.name === item.name) < index;
    if (isTwice && item.name !== "")
      resolving.problems.push({ path: `${keyPath(path, "upload")}[${index}]`, message: "two uploads have one name" });
  }
  return {
    upload: uploads,
    download: download.map((item, index) => ({ ...item, name: name(item.name, "download", index) })),
  };
}

function resolveRequires(requires: Requires<Text>, path: string, resolving: Resolving): Requires<string> {
  const resolve = (requirement: LabelRequirement<Text>): LabelRequirement<string> => {
    const { key, operator, values } = requirement;
    const kind = operator === "greater" || operator === "less" ? "decimal" : "label";
    return { ...requirement, values: values.map((value) => resolveText(value, kind, keyPath(path, key), resolving)) };
  };
  return {
    ...requires,
    labels: requires.labels.map(resolve),
    prefer: requires.prefer.map(({ requirement, weight }) => ({ requirement: resolve(requirement), weight })),
  };
}
