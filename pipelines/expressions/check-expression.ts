import { quote, suggest, type Hint } from "../problems.ts";
import { anything, functions, isFunctionName, kinds, kindsText, printable, type Kinds } from "./functions.ts";
import type { Comparison, Expression, ExpressionFault } from "./parse-expression.ts";

export const contextNames = ["inputs", "matrix", "needs", "env", "run"] as const;
export type ContextName = (typeof contextNames)[number];

/** What an expression can name where it stands. */
export interface Scope {
  /** Contexts that have no value here, and why. */
  readonly absent: ReadonlyMap<ContextName, string>;
  readonly inputs: ReadonlyMap<string, Kinds>;
  /** `undefined` where the matrix has problems of its own. */
  readonly matrix: ReadonlyMap<string, Kinds> | undefined;
  readonly needs: ReadonlyMap<string, NeedScope>;
  readonly env: ReadonlySet<string>;
  /** The only values that a reference can have, such as `inputs.target`. */
  readonly values: ReadonlyMap<string, readonly (string | number | boolean)[]>;
  /** Whether `success()` and its like have a meaning. */
  readonly isCondition: boolean;
}

export interface NeedScope {
  /** `undefined` where its declaration has problems of its own. */
  readonly outputs: ReadonlySet<string> | undefined;
  readonly cells: number;
}

/** A field of `run`, its kind, and what it is. */
export const runFields: ReadonlyMap<string, readonly [kind: Kinds, help: string]> = new Map([
  ["number", [kinds.number, "1, 2, … in the organization"]],
  ["attempt", [kinds.number, "1, and one more with each re-run"]],
  ["ref", [kinds.text, "the branch or tag"]],
  ["commit", [kinds.text, "the commit's full id"]],
  ["trigger", [kinds.text, "what started the run, such as `manual`"]],
  ["event", [anything, "what the trigger was sent; members by name, `null` where there is none"]],
]);

/** What `needs.<job>.state` can be. */
export const jobStates = ["succeeded", "failed", "cancelled", "skipped"] as const;

/** What other systems call them. */
const otherStates: ReadonlyMap<string, string> = new Map([
  ["success", "succeeded"],
  ["passed", "succeeded"],
  ["failure", "failed"],
  ["error", "failed"],
]);

/** What other systems call it. */
const otherContexts: ReadonlyMap<string, string> = new Map([
  ["github", "run"],
  ["ci", "run"],
  ["params", "inputs"],
  ["vars", "inputs"],
  ["strategy", "matrix"],
  ["jobs", "needs"],
]);

/** Finds everything that is wrong with a condition or a text's expression; answers the kinds its value can have. */
export function checkExpression(expression: Expression, scope: Scope, found: ExpressionFault[]): Kinds {
  const add = (at: number, message: string, hint?: Hint): void => void found.push({ at, message, hint });
  const check = (inner: Expression): Kinds => checkExpression(inner, scope, found);
  const checkTruth = (inner: Expression): Kinds => {
    const mask = check(inner);
    checkCondition(inner, mask, found);
    return mask;
  };
  switch (expression.kind) {
    case "literal":
      return literalKinds(expression.value);
    case "reference":
      return checkReference(expression.names, scope, (message, hint) => add(expression.at, message, hint));
    case "call":
      return checkCall(expression, scope, found);
    case "not":
      checkTruth(expression.operand);
      return kinds.boolean;
    case "and": {
      const last = expression.operands.at(-1)!;
      const before = expression.operands.slice(0, -1).map(checkTruth);
      return before.reduce((mask, next) => mask | next, check(last));
    }
    case "or":
      return expression.operands.map(check).reduce((mask, next) => mask | next, 0);
    case "compare":
      checkComparison(expression.comparison, check(expression.left), check(expression.right), (message, hint) =>
        add(expression.at, message, hint),
      );
      checkPossible(expression.left, expression.right, scope, add);
      checkPossible(expression.right, expression.left, scope, add);
      return kinds.boolean;
  }
}

function literalKinds(value: string | number | boolean | null): Kinds {
  if (typeof value === "string") return kinds.text;
  if (typeof value === "number") return kinds.number;
  return value === null ? kinds.nothing : kinds.boolean;
}

/** Refuses a condition that is text or a number: `'false'` would be true. */
export function checkCondition(expression: Expression, mask: Kinds, found: ExpressionFault[]): void {
  if (mask === 0 || (mask & kinds.boolean) !== 0) return;
  const hint = mask === kinds.text ? "compare it: … == 'true', or … != ''" : "compare it";
  found.push({ at: expression.at, message: `is ${kindsText(mask)}: expected true or false`, hint });
}

type Add = (message: string, hint?: Hint) => void;

function checkReference(names: readonly string[], scope: Scope, add: Add): Kinds {
  const context = contextNames.find((name) => name === names[0]);
  if (context === undefined) {
    addUnknownContext(names[0]!, add);
    return anything;
  }
  const absent = scope.absent.get(context);
  if (absent !== undefined) {
    add(`${context} has no value here`, absent);
    return anything;
  }
  const [, member, ...rest] = names;
  if (member === undefined) {
    add(
      `${context} is not a value`,
      `name a member: ${context}.${context === "needs" ? "<job>.outputs.<name>" : "<name>"}`,
    );
    return anything;
  }
  if (context === "needs") return checkNeed(member, rest, scope, add);
  const isEvent = context === "run" && member === "event";
  if (rest.length > 0 && !isEvent) add(`${context}.${member} has no members`);
  switch (context) {
    case "inputs":
      return known("input", member, scope.inputs, add);
    case "matrix":
      return scope.matrix === undefined ? anything : known("matrix axis", member, scope.matrix, add);
    case "env":
      return known("variable", member, new Map([...scope.env].map((name) => [name, kinds.text])), add);
    case "run":
      return known("field of run", member, new Map([...runFields].map(([name, [kind]]) => [name, kind])), add);
  }
}

function addUnknownContext(name: string, add: Add): void {
  if (name === "secrets") {
    add(
      "secrets are not resolved in texts",
      "list it under the job's `secrets`: the script finds it in its environment",
    );
  } else if (isFunctionName(name)) add(`${name} is a function`, `write ${functions[name].usage}`);
  else add(`unknown name ${quote(name)}`, suggest(name, contextNames, otherContexts));
}

function known(noun: string, name: string, members: ReadonlyMap<string, Kinds>, add: Add): Kinds {
  const found = members.get(name);
  if (found === undefined) add(`unknown ${noun} ${quote(name)}`, suggest(name, members.keys()));
  return found ?? anything;
}

function checkNeed(job: string, rest: readonly string[], { needs }: Scope, add: Add): Kinds {
  const need = needs.get(job);
  const [field, output, ...more] = rest;
  if (need === undefined) add(`${quote(job)} is not among the job's needs`, suggest(job, needs.keys()));
  else if (field === "state" && output === undefined) return kinds.text;
  else if (field !== "outputs" || output === undefined || more.length > 0)
    add(`expected needs.${job}.state or needs.${job}.outputs.<name>`);
  else if (need.cells > 1)
    add(`${job} has ${need.cells} jobs in its matrix: which one's output is not said`, "pass it on as an artifact");
  else if (need.outputs !== undefined && !need.outputs.has(output))
    add(`${job} does not declare the output ${quote(output)}`, suggest(output, need.outputs));
  return kinds.text;
}

function checkComparison(comparison: Comparison, left: Kinds, right: Kinds, add: Add): void {
  const isOrder = comparison !== "==" && comparison !== "!=";
  const able = isOrder ? kinds.number : printable;
  if ((left & able) === 0 || (right & able) === 0) {
    const wrong = (left & able) === 0 ? left : right;
    add(`${comparison} compares ${kindsText(able)}, not ${kindsText(wrong)}`);
  } else if ((left & right & able) === 0) {
    const isAbsence = left === kinds.nothing || right === kinds.nothing;
    const hint = isAbsence ? "what is absent is ''" : "put the other side in quotes";
    add(`compares ${kindsText(left)} with ${kindsText(right)}, which are never equal`, hint);
  }
}

/** Refuses a comparison of what has few values with another one: it says something else than was meant. */
function checkPossible(
  side: Expression,
  other: Expression,
  scope: Scope,
  add: (at: number, message: string, hint?: Hint) => void,
): void {
  if (side.kind !== "reference" || other.kind !== "literal") return;
  const isState = side.names.length === 3 && side.names[0] === "needs" && side.names[2] === "state";
  const values = isState ? jobStates : scope.values.get(side.names.join("."));
  if (values === undefined || typeof other.value !== typeof values[0]) return;
  if (values.every((value) => value !== other.value))
    add(
      other.at,
      `${side.names.join(".")} is never ${quote(String(other.value))}`,
      suggest(String(other.value), values.map(String), isState ? otherStates : undefined),
    );
}

function checkCall(call: Extract<Expression, { kind: "call" }>, scope: Scope, found: ExpressionFault[]): Kinds {
  const add = (at: number, message: string, hint?: Hint): void => void found.push({ at, message, hint });
  const given = call.operands.map((operand) => checkExpression(operand, scope, found));
  if (!isFunctionName(call.name)) {
    add(call.at, `unknown function ${quote(call.name)}`, suggest(call.name, Object.keys(functions)));
    return anything;
  }
  const { operands, required, isVariadic = false, isStatus = false, result, usage } = functions[call.name];
  if (given.length < required || (given.length > operands.length && !isVariadic))
    add(call.at, `${call.name} takes ${operands.length} values, not ${given.length}`, `write ${usage}`);
  if (isStatus && !scope.isCondition)
    add(call.at, `${call.name}() has a meaning in \`if\` only`, "needs.<job>.state says how a job ended");
  for (const [index, mask] of given.entries()) {
    const able = operands[Math.min(index, operands.length - 1)] ?? anything;
    if ((mask & able) === 0)
      add(
        call.operands[index]!.at,
        `${call.name} takes ${kindsText(able)} here, not ${kindsText(mask)}`,
        `write ${usage}`,
      );
  }
  return result;
}

/** Whether `success()` or its like is called anywhere: else a condition holds only where `success()` does. */
export function hasStatusCall(expression: Expression): boolean {
  switch (expression.kind) {
    case "literal":
    case "reference":
      return false;
    case "call":
      return (
        (isFunctionName(expression.name) && functions[expression.name].isStatus === true) ||
        expression.operands.some(hasStatusCall)
      );
    case "not":
      return hasStatusCall(expression.operand);
    case "and":
    case "or":
      return expression.operands.some(hasStatusCall);
    case "compare":
      return hasStatusCall(expression.left) || hasStatusCall(expression.right);
  }
}
