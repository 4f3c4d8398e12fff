/* Inputs of a run from what a trigger was sent: the expressions of pipelines, over `event`. */
import { checkExpression, type ContextName, type Scope } from "../../../pipelines/expressions/check-expression.ts";
import { evaluateTemplate, type Evaluation } from "../../../pipelines/expressions/evaluate-expression.ts";
import { ExpressionError, type Expression } from "../../../pipelines/expressions/parse-expression.ts";
import { parseTemplate, type TemplatePart } from "../../../pipelines/expressions/templates.ts";
import { hintText } from "../../../pipelines/problems.ts";
import { limits } from "../../../pipelines/limits.ts";

type Mapping = Readonly<Record<string, string>>;
type Fault = { input: string; message: string };

const absent = "a trigger's inputs can name `event` alone";
const contexts: readonly ContextName[] = ["inputs", "matrix", "needs", "env"];
/** `event` is what pipelines call `run.event`. */
const scope: Scope = {
  absent: new Map(contexts.map((name) => [name, absent])),
  inputs: new Map(),
  matrix: new Map(),
  needs: new Map(),
  env: new Set(),
  values: new Map(),
  isCondition: false,
};

/** Everything that is wrong with the texts, whatever the event. */
export function checkMapping(mapping: Mapping): Fault[] {
  return Object.entries(mapping).flatMap(([input, text]): Fault[] => {
    try {
      const found: ExpressionError[] = [];
      for (const part of parse(text)) if (part.kind === "expression") checkExpression(part.expression, scope, found);
      return found.map((error) => ({ input, message: textOf(error) }));
    } catch (error) {
      if (error instanceof ExpressionError) return [{ input, message: textOf(error) }];
      throw error;
    }
  });
}

/** The texts with the event's values in them; or what an expression cannot do with this event. */
export function mapInputs(mapping: Mapping, event: unknown): { inputs: Record<string, string> } | { fault: Fault } {
  const always = { success: true, failure: false, always: true, cancelled: false };
  const inputs: Record<string, string> = {};
  for (const [input, text] of Object.entries(mapping)) {
    const evaluation: Evaluation = {
      contexts: { run: { event } },
      status: always,
      budget: limits.expressionWork.value,
    };
    try {
      inputs[input] = evaluateTemplate(parse(text), evaluation);
    } catch (error) {
      if (error instanceof ExpressionError) return { fault: { input, message: textOf(error) } };
      throw error;
    }
  }
  return { inputs };
}

function parse(text: string): TemplatePart[] {
  return parseTemplate(text).map((part) =>
    part.kind === "text" ? part : { ...part, expression: underRun(part.expression) },
  );
}

/** The same with `event` as a member of `run`. */
function underRun(expression: Expression): Expression {
  switch (expression.kind) {
    case "literal":
      return expression;
    case "reference": {
      if (expression.names[0] !== "event") {
        throw new ExpressionError(expression.at, `${expression.names.join(".")} has no value here`, absent);
      }
      return { ...expression, names: ["run", ...expression.names] };
    }
    case "call":
    case "and":
    case "or":
      return { ...expression, operands: expression.operands.map(underRun) };
    case "not":
      return { ...expression, operand: underRun(expression.operand) };
    case "compare":
      return { ...expression, left: underRun(expression.left), right: underRun(expression.right) };
  }
}

function textOf({ message, hint: meant }: ExpressionError): string {
  const hint = hintText(meant);
  return hint === undefined ? message : `${message} (${hint})`;
}
