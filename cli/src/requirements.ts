import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  Operator,
  type PreferenceSchema,
  type RequirementSchema,
} from "../../proto/gen/agyn/orchestrator/v1/demand_pb.ts";
import { UsageError } from "./failures.ts";

type Requirement = MessageInitShape<typeof RequirementSchema>;
type Preference = MessageInitShape<typeof PreferenceSchema>;

/** A word or a symbol of a requirement, and where it starts (from 1). */
interface Token {
  readonly text: string;
  readonly position: number;
  readonly isQuoted: boolean;
}

const forms = 'write it like "region in (us,eu)", "zone=a", "zone!=a", "gpu exists", "!gpu", "mem>16" or "mem<64"';

/**
 * A condition on labels: `key in (a,b)`, `key notin (a,b)`, `key=a`, `key!=a`, `key exists`, `!key`, `key>n`, `key<n`.
 * Values with spaces, commas or symbols stand in quotes. A UsageError names the position and what was expected there.
 */
export function parseRequirement(text: string): Requirement {
  const tokens = tokenize(text);
  const [first, second] = tokens;
  if (first === undefined) throw new UsageError(`requirement "${text}" is empty: ${forms}`);
  if (first.text === "!" && !first.isQuoted) {
    const key = expectKey(text, tokens[1]);
    expectEnd(text, tokens, 2);
    return { key, operator: Operator.NOT_EXISTS, values: [] };
  }
  const key = expectKey(text, first);
  if (second === undefined) {
    throw new UsageError(
      `requirement "${text}": nothing follows the label "${key}"; write "${key} exists" or "${key}=value"`,
    );
  }
  return afterKey(text, key, tokens);
}

function afterKey(text: string, key: string, tokens: readonly Token[]): Requirement {
  const operator = tokens[1]!;
  switch (operator.text.toLowerCase()) {
    case "in":
      return { key, operator: Operator.IN, values: parseList(text, tokens) };
    case "notin":
      return { key, operator: Operator.NOT_IN, values: parseList(text, tokens) };
    case "exists":
      expectEnd(text, tokens, 2);
      return { key, operator: Operator.EXISTS, values: [] };
    case "=":
    case "==":
      return { key, operator: Operator.IN, values: [expectValue(text, tokens)] };
    case "!=":
      return { key, operator: Operator.NOT_IN, values: [expectValue(text, tokens)] };
    case ">":
      return { key, operator: Operator.GREATER, values: [expectNumber(text, tokens)] };
    case "<":
      return { key, operator: Operator.LESS, values: [expectNumber(text, tokens)] };
    default:
      throw fault(text, operator, "one of in, notin, exists, =, !=, > or < after the label");
  }
}

function parseList(text: string, tokens: readonly Token[]): string[] {
  if (tokens[2]?.text !== "(" || tokens[2].isQuoted) throw fault(text, tokens[2], 'a list such as "(us,eu)"');
  const values: string[] = [];
  let index = 3;
  for (;;) {
    const value = tokens[index];
    if (value === undefined || isSymbol(value)) throw fault(text, value, "a value");
    values.push(value.text);
    const separator = tokens[index + 1];
    index += 2;
    if (separator?.text === ")" && !separator.isQuoted) break;
    if (separator?.text !== "," || separator.isQuoted) throw fault(text, separator, '"," or ")"');
  }
  expectEnd(text, tokens, index);
  return values;
}

function expectKey(text: string, token: Token | undefined): string {
  const isKey = token !== undefined && /^[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9])?$/.test(token.text);
  if (!isKey) throw fault(text, token, "a label's key");
  return token.text;
}

function expectValue(text: string, tokens: readonly Token[]): string {
  const value = tokens[2];
  if (value === undefined || isSymbol(value)) throw fault(text, value, 'a value (an empty one is "")');
  expectEnd(text, tokens, 3);
  return value.text;
}

function expectNumber(text: string, tokens: readonly Token[]): string {
  const value = tokens[2];
  if (value === undefined || !/^-?\d+(\.\d+)?$/.test(value.text)) throw fault(text, value, "a decimal number");
  expectEnd(text, tokens, 3);
  return value.text;
}

function expectEnd(text: string, tokens: readonly Token[], index: number): void {
  const token = tokens[index];
  if (token !== undefined) throw fault(text, token, "the end; one requirement a flag");
}

function fault(text: string, token: Token | undefined, expected: string): UsageError {
  const found = token === undefined ? "the end" : `"${token.text}" at position ${token.position}`;
  return new UsageError(`requirement "${text}": expected ${expected}, found ${found}`, forms);
}

const symbols = /^(?:==|!=|[=<>!(),])/;

function isSymbol(token: Token): boolean {
  return !token.isQuoted && symbols.test(token.text);
}

function tokenize(text: string): Token[] {
  const tokens: Token[] = [];
  let index = 0;
  while (index < text.length) {
    const rest = text.slice(index);
    const position = index + 1;
    const space = /^\s+/.exec(rest);
    const quoted = /^"([^"]*)"|^'([^']*)'/.exec(rest);
    const plain = symbols.exec(rest) ?? /^[^\s=<>!(),"']+/.exec(rest);
    if (space !== null) index += space[0].length;
    else if (quoted !== null) {
      tokens.push({ text: quoted[1] ?? quoted[2] ?? "", position, isQuoted: true });
      index += quoted[0].length;
    } else if (plain !== null) {
      tokens.push({ text: plain[0], position, isQuoted: false });
      index += plain[0].length;
    } else throw new UsageError(`requirement "${text}": the quote at position ${position} is not closed`);
  }
  return tokens;
}

/** A requirement and its weight: `zone=a:10`, `gpu exists:-5`; 1 where no weight is given. */
export function parsePreference(text: string): Preference {
  const match = /^(.*):(-?\d+)$/s.exec(text);
  const weight = match === null ? 1 : Number(match[2]);
  if (weight < -100 || weight > 100)
    throw new UsageError(`preference "${text}": the weight ${weight} is not within -100 to 100`);
  return { requirement: parseRequirement(match === null ? text : match[1]!), weight };
}

/** `key=value` pairs, each key once. `noun` names them in errors. */
export function parsePairs(noun: string, texts: readonly string[]): Record<string, string> {
  const pairs = new Map<string, string>();
  for (const text of texts) {
    const index = text.indexOf("=");
    if (index <= 0) throw new UsageError(`${noun} "${text}": write it like key=value`);
    const key = text.slice(0, index);
    if (pairs.has(key)) throw new UsageError(`${noun} "${key}" is given twice`);
    pairs.set(key, text.slice(index + 1));
  }
  return Object.fromEntries(pairs);
}

/** `key=number` pairs, as resources are declared. */
export function parseAmounts(texts: readonly string[]): Record<string, number> {
  const amounts = Object.entries(parsePairs("resource", texts)).map(([key, text]) => {
    if (!/^\d+(\.\d+)?$/.test(text))
      throw new UsageError(`resource "${key}": "${text}" is no amount; write it like ${key}=2`);
    return [key, Number(text)] as const;
  });
  return Object.fromEntries(amounts);
}

/** A whole number within bounds. `noun` names it in errors. */
export function parseInteger(noun: string, minimum: number, maximum: number): (text: string) => number {
  return (text) => {
    const value = /^-?\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= minimum && value <= maximum) return value;
    throw new UsageError(`${noun} "${text}" is not a whole number from ${minimum} to ${maximum}`);
  };
}
