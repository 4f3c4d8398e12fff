import { evaluateTemplate, type Evaluation } from "./expressions/evaluate-expression.ts";
import { ExpressionError } from "./expressions/parse-expression.ts";
import { parseTemplate } from "./expressions/templates.ts";
import { limits } from "./limits.ts";
import type { Concurrency, Problem, Text } from "./pipeline.ts";
import { hintText } from "./problems.ts";
import { resolvedFault, type TextKind } from "./resolved-texts.ts";

/** What texts are resolved with, and what was wrong with them. */
export interface Resolving {
  readonly evaluation: Evaluation;
  readonly problems: Problem[];
}

const noStatus = { success: false, failure: false, always: false, cancelled: false };

/** An evaluation with a whole budget. */
export function createEvaluation(
  contexts: Evaluation["contexts"],
  status: Evaluation["status"] = noStatus,
): Evaluation {
  return { contexts, status, budget: limits.expressionWork.value };
}

/** A text with its expressions resolved, as it may be used; "" where a problem was added. */
export function resolveText(text: Text, kind: TextKind, path: string, { evaluation, problems }: Resolving): string {
  const value = attempt(path, problems, () => evaluateTemplate(parseTemplate(text), evaluation));
  const fault = value === undefined ? undefined : resolvedFault(kind, value);
  if (fault !== undefined) problems.push({ path, message: fault });
  return value ?? "";
}

/** The group's name with its expressions resolved; null where none is wanted. */
export function resolveConcurrency(
  concurrency: Concurrency<Text> | null,
  path: string,
  resolving: Resolving,
): Concurrency<string> | null {
  return concurrency && { ...concurrency, group: resolveText(concurrency.group, "group", path, resolving) };
}

/** What `evaluate` gives, or `undefined` and a problem. */
export function attempt<T>(path: string, problems: Problem[], evaluate: () => T): T | undefined {
  try {
    return evaluate();
  } catch (error) {
    if (!(error instanceof ExpressionError)) throw error;
    const { message } = error;
    const hint = hintText(error.hint);
    problems.push(hint === undefined ? { path, message } : { path, message, hint });
    return undefined;
  }
}
