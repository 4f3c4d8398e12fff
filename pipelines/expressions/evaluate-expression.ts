// Evaluation is total: it ends, touches nothing, and either gives a value or throws an ExpressionError. Whatever an expression
// looks at is paid for from a budget, so that no expression can hold up a server.

import { limits, limitText } from "../limits.ts";
import { quote } from "../problems.ts";
import { holdsText } from "./find-text.ts";
import { isFunctionName, kindOf, kinds, kindsText, printable, type FunctionName } from "./functions.ts";
import { ExpressionError, type Comparison, type Expression } from "./parse-expression.ts";
import type { TemplatePart } from "./templates.ts";

/** What an expression sees: contexts by name, of JSON values. Only own members are ever read. */
export interface Evaluation {
  readonly contexts: Readonly<Record<string, unknown>>;
  readonly status: Readonly<Record<"success" | "failure" | "always" | "cancelled", boolean>>;
  /** Characters that may still be looked at. */
  budget: number;
}

/** The value of an expression: any JSON. Throws an ExpressionError. */
export function evaluateExpression(expression: Expression, evaluation: Evaluation): unknown {
  spend(evaluation, 1, expression.at);
  switch (expression.kind) {
    case "literal":
      return expression.value;
    case "reference":
      return member(evaluation.contexts, expression.names);
    case "call":
      return call(expression, evaluation);
    case "not":
      return !isTruthy(evaluateExpression(expression.operand, evaluation));
    case "and":
    case "or":
      return chain(expression.operands, expression.kind === "or", evaluation);
    case "compare": {
      const left = evaluateExpression(expression.left, evaluation);
      const right = evaluateExpression(expression.right, evaluation);
      if (typeof left === "string") spend(evaluation, left.length, expression.at);
      return compare(expression.comparison, left, right, expression.at);
    }
  }
}

/** Whether a value counts as true in a condition: all do but false, null, 0 and the empty text. */
export function isTruthy(value: unknown): boolean {
  return value !== false && value !== null && value !== "" && value !== 0;
}

/** A text with its expressions resolved. Throws an ExpressionError. */
export function evaluateTemplate(parts: readonly TemplatePart[], evaluation: Evaluation): string {
  let text = "";
  for (const part of parts) {
    const at = part.kind === "text" ? 0 : part.at;
    text += part.kind === "text" ? part.text : toText(evaluateExpression(part.expression, evaluation), at);
    checkLength(text, at);
  }
  return text;
}

/** The last operand that counts, as in JavaScript: `a && b || c` chooses. */
function chain(operands: readonly Expression[], stopsAt: boolean, evaluation: Evaluation): unknown {
  let value: unknown = null;
  for (const operand of operands) {
    value = evaluateExpression(operand, evaluation);
    if (isTruthy(value) === stopsAt) return value;
  }
  return value;
}

function member(value: unknown, names: readonly string[]): unknown {
  let current = value;
  for (const name of names) {
    const isThere =
      typeof current === "object" && current !== null && !Array.isArray(current) && Object.hasOwn(current, name);
    if (!isThere) return null;
    current = (current as Readonly<Record<string, unknown>>)[name];
  }
  return current ?? null;
}

function compare(comparison: Comparison, left: unknown, right: unknown, at: number): boolean {
  const able = comparison === "==" || comparison === "!=" ? printable : kinds.number;
  const wrong = [left, right].map(kindOf).find((kind) => (kind & able) === 0);
  if (wrong !== undefined)
    throw new ExpressionError(at, `${comparison} compares ${kindsText(able)}, not ${kindsText(wrong)}`);
  if (comparison === "==") return left === right;
  if (comparison === "!=") return left !== right;
  const [one, other] = [left as number, right as number];
  if (comparison === "<") return one < other;
  if (comparison === "<=") return one <= other;
  return comparison === ">" ? one > other : one >= other;
}

type Call = Extract<Expression, { kind: "call" }>;

function call(expression: Call, evaluation: Evaluation): unknown {
  const { name, at } = expression;
  if (!isFunctionName(name)) throw new ExpressionError(at, `unknown function ${quote(name)}`);
  const values = expression.operands.map((operand) => evaluateExpression(operand, evaluation));
  for (const value of values) spend(evaluation, sizeOf(value), at);
  return apply(name, values, evaluation, at);
}

function apply(name: FunctionName, values: readonly unknown[], evaluation: Evaluation, at: number): unknown {
  const [first, second] = values;
  switch (name) {
    case "contains":
      return Array.isArray(first) ? first.includes(second) : holdsText(toText(first, at), toText(second, at));
    case "starts_with":
      return toText(first, at).startsWith(toText(second, at));
    case "ends_with":
      return toText(first, at).endsWith(toText(second, at));
    case "format":
      return format(toText(first, at), values.slice(1), evaluation, at);
    case "join":
      return join(first, second === undefined ? "," : toText(second, at), evaluation, at);
    case "to_json":
      return toJson(first, evaluation, at);
    case "success":
    case "failure":
    case "always":
    case "cancelled":
      return evaluation.status[name];
  }
}

function format(pattern: string, values: readonly unknown[], evaluation: Evaluation, at: number): string {
  let text = "";
  for (const [piece, place] of pattern.matchAll(/\{\{|\}\}|\{(\d{1,4})\}|[^{}]+|[{}]/g)) {
    const value = place === undefined ? undefined : values[Number(place)];
    if (value !== undefined) text += toText(value, at);
    else if (place !== undefined) throw new ExpressionError(at, `format has no value for ${piece}`);
    else if (piece === "{" || piece === "}")
      throw new ExpressionError(at, `a single ${piece} in a format`, `a brace is written ${piece}${piece}`);
    else text += piece === "{{" || piece === "}}" ? piece[0]! : piece;
    checkLength(text, at);
  }
  spend(evaluation, text.length, at);
  return text;
}

function join(list: unknown, separator: string, evaluation: Evaluation, at: number): string {
  if (!Array.isArray(list)) throw new ExpressionError(at, `join takes a list, not ${kindsText(kindOf(list))}`);
  let text = "";
  for (const [index, item] of list.entries()) {
    text += (index === 0 ? "" : separator) + toText(item, at);
    checkLength(text, at);
  }
  spend(evaluation, text.length, at);
  return text;
}

/** JSON of bounded depth and length. */
function toJson(value: unknown, evaluation: Evaluation, at: number, depth = 0): string {
  if (depth > limits.depth.value)
    throw new ExpressionError(at, `too deep for JSON: ${limits.depth.value} levels are allowed`);
  spend(evaluation, 1, at);
  if (typeof value !== "object" || value === null) {
    spend(evaluation, sizeOf(value), at);
    return JSON.stringify(value ?? null);
  }
  const isList = Array.isArray(value);
  const entries = Object.entries(value);
  spend(evaluation, entries.length, at);
  let text = isList ? "[" : "{";
  for (const [key, item] of entries) {
    if (text.length > 1) text += ",";
    text += (isList ? "" : `${JSON.stringify(key)}:`) + toJson(item, evaluation, at, depth + 1);
    checkLength(text, at);
  }
  return text + (isList ? "]" : "}");
}

function toText(value: unknown, at: number): string {
  if (typeof value === "string") return value;
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  if (value === null || value === undefined) return "";
  const kind = kindsText(kindOf(value));
  throw new ExpressionError(at, `${kind} is not text`, "name one of its members, or use join() or to_json()");
}

function sizeOf(value: unknown): number {
  return typeof value === "string" || Array.isArray(value) ? value.length : 1;
}

function checkLength(text: string, at: number): void {
  if (text.length > limits.text_bytes.value)
    throw new ExpressionError(at, `the text gets too long: ${limitText("text_bytes")}`);
}

function spend(evaluation: Evaluation, amount: number, at: number): void {
  evaluation.budget -= amount;
  if (evaluation.budget < 0) throw new ExpressionError(at, `too much work: ${limitText("expressionWork")}`);
}
