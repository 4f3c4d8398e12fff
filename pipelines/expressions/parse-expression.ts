// The grammar, in one pass over the text:
//
//   expression = and { "||" and } ;              and      = not { "&&" not } ;
//   not        = "!" not | comparison ;          comparison = operand [ operator operand ] ;
//   operator   = "==" | "!=" | "<" | "<=" | ">" | ">=" ;
//   operand    = literal | name "(" [ expression { "," expression } ] ")" | name { "." name } | "(" expression ")" ;
//   literal    = text | number | "true" | "false" | "null" ;

import { limits, limitText } from "../limits.ts";
import { quote, type Hint } from "../problems.ts";

export const comparisons = ["==", "!=", "<=", ">=", "<", ">"] as const;
export type Comparison = (typeof comparisons)[number];

/** `at` is the offset in the text that was parsed. */
export type Expression = Readonly<{ at: number }> &
  Readonly<
    | { kind: "literal"; value: string | number | boolean | null }
    | { kind: "reference"; names: readonly string[] }
    | { kind: "call"; name: string; operands: readonly Expression[] }
    | { kind: "not"; operand: Expression }
    | { kind: "and" | "or"; operands: readonly Expression[] }
    | { kind: "compare"; comparison: Comparison; left: Expression; right: Expression }
  >;

/** What is wrong with an expression, and where in its text. */
export interface ExpressionFault {
  readonly at: number;
  readonly message: string;
  readonly hint: Hint | undefined;
}

/** The fault that ends parsing or evaluating. */
export class ExpressionError extends Error implements ExpressionFault {
  readonly at: number;
  readonly hint: Hint | undefined;

  constructor(at: number, message: string, hint?: Hint) {
    super(message);
    this.name = "ExpressionError";
    this.at = at;
    this.hint = hint;
  }
}

interface Token {
  readonly kind: "name" | "text" | "number" | "symbol" | "end";
  /** Of a text, what it stands for. */
  readonly text: string;
  readonly at: number;
  readonly end: number;
}

interface Parsing {
  readonly source: string;
  token: Token;
  depth: number;
}

/** `source` as a whole. Throws an ExpressionError. */
export function parseExpression(source: string): Expression {
  const parsing = start(source, 0);
  const expression = parseOr(parsing);
  if (parsing.token.kind !== "end") throw unexpected(parsing, "the end, or an operator");
  return expression;
}

/** The expression from `at` up to its `}}`, and the offset behind that. Throws an ExpressionError. */
export function parseEmbedded(source: string, at: number): { expression: Expression; end: number } {
  const parsing = start(source, at);
  const expression = parseOr(parsing);
  if (parsing.token.text !== "}}" || parsing.token.kind !== "symbol") throw unexpected(parsing, "}}, or an operator");
  const { end } = parsing.token;
  if (end - at > limits.expression_characters.value)
    throw new ExpressionError(at, `too long: ${limitText("expression_characters")}`);
  return { expression, end };
}

function start(source: string, at: number): Parsing {
  return { source, token: readToken(source, at), depth: 0 };
}

function parseOr(parsing: Parsing): Expression {
  return parseChain(parsing, { symbol: "||", kind: "or", operand: parseAnd });
}

function parseAnd(parsing: Parsing): Expression {
  return parseChain(parsing, { symbol: "&&", kind: "and", operand: parseNot });
}

interface Chain {
  readonly symbol: string;
  readonly kind: "and" | "or";
  readonly operand: (parsing: Parsing) => Expression;
}

function parseChain(parsing: Parsing, { symbol, kind, operand }: Chain): Expression {
  const first = operand(parsing);
  const operands = [first];
  while (accept(parsing, symbol)) operands.push(operand(parsing));
  return operands.length === 1 ? first : { kind, operands, at: first.at };
}

function parseNot(parsing: Parsing): Expression {
  const { at } = parsing.token;
  if (!accept(parsing, "!")) return parseComparison(parsing);
  return { kind: "not", operand: deeper(parsing, parseNot), at };
}

function parseComparison(parsing: Parsing): Expression {
  const left = parseOperand(parsing);
  const comparison = acceptComparison(parsing);
  if (comparison === undefined) return left;
  const right = parseOperand(parsing);
  const { at } = parsing.token;
  if (acceptComparison(parsing) !== undefined)
    throw new ExpressionError(at, "compares twice in a row", "join two comparisons with &&");
  return { kind: "compare", comparison, left, right, at: left.at };
}

function acceptComparison(parsing: Parsing): Comparison | undefined {
  return comparisons.find((comparison) => accept(parsing, comparison));
}

function parseOperand(parsing: Parsing): Expression {
  const { kind, text, at } = parsing.token;
  if (kind === "text") {
    advance(parsing);
    return { kind: "literal", value: text, at };
  }
  if (kind === "number") {
    advance(parsing);
    return { kind: "literal", value: Number(text), at };
  }
  if (kind === "name") return parseName(parsing);
  if (!accept(parsing, "(")) throw unexpected(parsing, "a value");
  const inner = deeper(parsing, parseOr);
  if (!accept(parsing, ")")) throw unexpected(parsing, '")", or an operator');
  return inner;
}

function parseName(parsing: Parsing): Expression {
  const { text: name, at } = parsing.token;
  advance(parsing);
  if (accept(parsing, "(")) return { kind: "call", name, operands: deeper(parsing, parseOperands), at };
  if (name === "true" || name === "false") return { kind: "literal", value: name === "true", at };
  if (name === "null") return { kind: "literal", value: null, at };
  const names = [name];
  while (accept(parsing, ".")) {
    if (parsing.token.kind !== "name") throw unexpected(parsing, "a name");
    names.push(parsing.token.text);
    advance(parsing);
  }
  return { kind: "reference", names, at };
}

function parseOperands(parsing: Parsing): Expression[] {
  const operands: Expression[] = [];
  if (accept(parsing, ")")) return operands;
  do operands.push(parseOr(parsing));
  while (accept(parsing, ","));
  if (!accept(parsing, ")")) throw unexpected(parsing, '")" or ","');
  return operands;
}

function deeper<T>(parsing: Parsing, parse: (parsing: Parsing) => T): T {
  if (parsing.depth === limits.expressionDepth.value)
    throw new ExpressionError(parsing.token.at, `too deep: ${limitText("expressionDepth")}`);
  parsing.depth++;
  const parsed = parse(parsing);
  parsing.depth--;
  return parsed;
}

function accept(parsing: Parsing, symbol: string): boolean {
  const isThere = parsing.token.kind === "symbol" && parsing.token.text === symbol;
  if (isThere) advance(parsing);
  return isThere;
}

function advance(parsing: Parsing): void {
  parsing.token = readToken(parsing.source, parsing.token.end);
}

function unexpected({ token, source }: Parsing, expected: string): ExpressionError {
  const found = token.kind === "end" ? "the end" : quote(source.slice(token.at, token.end));
  return new ExpressionError(token.at, `expected ${expected}, found ${found}`, hints.get(token.text));
}

/** What people try that is spelled otherwise, or is not there. */
const hints: ReadonlyMap<string, string> = new Map([
  ["=", "equal is =="],
  ["===", "equal is =="],
  ["&", "and is &&"],
  ["|", "or is ||"],
  ["[", "a member is written with a dot: needs.build.outputs.name"],
  ["+", "texts are put together with format()"],
  ["?", "choose with: condition && 'one' || 'other'"],
]);

// Each alternative starts with characters that no other starts with, and none repeats a repetition: one step a character.
const lexeme = /[ \t\r\n]+|[A-Za-z_][A-Za-z0-9_-]*|-?\d+(?:\.\d+)?|'[^']*'|"[^"]*"|[=!<>]=?|&&|\|\||}}|[().,]/y;

function readToken(source: string, from: number): Token {
  lexeme.lastIndex = from;
  const found = lexeme.exec(source)?.[0];
  const end = from + (found?.length ?? 0);
  if (found === undefined) return from >= source.length ? createToken("end", "", from, from) : oddToken(source, from);
  const first = found[0]!;
  if (" \t\r\n".includes(first)) return readToken(source, end);
  if (first === "'" || first === '"') return readText(source, from);
  if (/[A-Za-z_]/.test(first)) return createToken("name", found, from, end);
  return createToken(/[-\d]/.test(first) ? "number" : "symbol", found, from, end);
}

function createToken(kind: Token["kind"], text: string, at: number, end: number): Token {
  return { kind, text, at, end };
}

/** A character that begins nothing; the parser says what it expected there. */
function oddToken(source: string, at: number): Token {
  const quoted = source[at]!;
  if (quoted === "'" || quoted === '"') throw new ExpressionError(at, `the quote ${quoted} is not closed`);
  const end = at + (source.codePointAt(at)! > 0xffff ? 2 : 1);
  return createToken("symbol", source.slice(at, end), at, end);
}

/** A text in quotes; the quote itself is written twice. */
function readText(source: string, at: number): Token {
  const mark = source[at]!;
  let text = "";
  let from = at + 1;
  for (;;) {
    const to = source.indexOf(mark, from);
    if (to < 0) throw new ExpressionError(at, `the quote ${mark} is not closed`);
    text += source.slice(from, to);
    if (source[to + 1] !== mark) return createToken("text", text, at, to + 1);
    text += mark;
    from = to + 2;
  }
}
