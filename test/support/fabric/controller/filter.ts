import { invalidFilter, tokensOf, type Token } from "./filter-tokens.ts";

/** What a filter asks for: which rows, in which order, from which to which. */
export interface Filter {
  matches(row: object): boolean;
  /** Compares two rows as `sort by` says; without one, all are equal. */
  compare(one: object, other: object): number;
  readonly skip: number | undefined;
  readonly limit: number | "none" | undefined;
}

type Value = string | number | boolean | null;
type Test = (row: object) => boolean;

/** The words of a filter, one after the other. */
interface Reader {
  next(): Token | undefined;
  peek(): Token | undefined;
  /** Takes the next word if it is this keyword or mark. */
  take(text: string): boolean;
  need(text: string): void;
  name(): string;
  value(): Value;
  /** A name that rows have. */
  symbol(): string;
}

const maxDepth = 50;

/** Reads a filter in the controller's language over rows that have `symbols`. Throws INVALID_FILTER. */
export function parseFilter(filter: string, symbols: ReadonlySet<string>): Filter {
  const reader = createReader(tokensOf(filter), symbols);
  const first = reader.peek();
  const isTail = first === undefined || (first.kind === "word" && ["sort", "skip", "limit"].includes(first.text));
  const matches = isTail ? () => true : either(reader, 0);
  const compare = order(reader);
  const skip = reader.take("skip") ? whole(reader) : undefined;
  const limit = reader.take("limit") ? bound(reader) : undefined;
  if (reader.peek() !== undefined) throw invalidFilter(`nothing is expected at ${JSON.stringify(reader.peek())}`);
  return { matches, compare, skip, limit };
}

function either(reader: Reader, depth: number): Test {
  if (depth > maxDepth) throw invalidFilter("it is nested too deeply");
  let test = both(reader, depth);
  while (reader.take("or")) {
    const [left, right] = [test, both(reader, depth)];
    test = (row) => left(row) || right(row);
  }
  return test;
}

function both(reader: Reader, depth: number): Test {
  let test = single(reader, depth);
  while (reader.take("and")) {
    const [left, right] = [test, single(reader, depth)];
    test = (row) => left(row) && right(row);
  }
  return test;
}

function single(reader: Reader, depth: number): Test {
  if (reader.take("not")) {
    const test = single(reader, depth + 1);
    return (row) => !test(row);
  }
  if (reader.take("(")) {
    const test = either(reader, depth + 1);
    reader.need(")");
    return test;
  }
  if (reader.take("true")) return () => true;
  if (reader.take("false")) return () => false;
  if (reader.take("isEmpty")) {
    const set = setOf(reader);
    return (row) => set(row).length === 0;
  }
  return comparison(reader);
}

function comparison(reader: Reader): Test {
  if (reader.take("anyOf")) {
    const [set, test] = [setOf(reader), operation(reader)];
    return (row) => set(row).some(test);
  }
  if (reader.take("allOf")) {
    const [set, test] = [setOf(reader), operation(reader)];
    return (row) => set(row).every(test);
  }
  if (reader.take("count")) {
    const [set, test] = [setOf(reader), operation(reader)];
    return (row) => test(set(row).length);
  }
  const symbol = reader.symbol();
  const test = operation(reader);
  return (row) => {
    const value = fieldOf(row, symbol);
    if (Array.isArray(value)) throw invalidFilter(`${symbol} is a set: use anyOf, allOf, count or isEmpty`);
    return test(plain(value));
  };
}

/** What follows the left side: the test of a value. */
function operation(reader: Reader): (value: Value) => boolean {
  if (reader.take("not")) {
    const test = operation(reader);
    return (value) => !test(value);
  }
  if (reader.take("in")) {
    const values = listOf(reader);
    return (value) => values.includes(value);
  }
  if (reader.take("between")) {
    const low = reader.value();
    reader.need("and");
    const high = reader.value();
    return (value) => compareValues(value, low) >= 0 && compareValues(value, high) < 0;
  }
  const operator = reader.next();
  const wanted = reader.value();
  const text = operator?.kind === "word" || operator?.kind === "mark" ? operator.text : "";
  const test = operators[text];
  if (test === undefined) throw invalidFilter(`there is no operator ${text}`);
  return (value) => test(value, wanted);
}

const operators: Readonly<Record<string, (value: Value, wanted: Value) => boolean>> = {
  "=": (value, wanted) => value === wanted,
  "!=": (value, wanted) => value !== wanted,
  "<": (value, wanted) => compareValues(value, wanted) < 0,
  "<=": (value, wanted) => compareValues(value, wanted) <= 0,
  ">": (value, wanted) => compareValues(value, wanted) > 0,
  ">=": (value, wanted) => compareValues(value, wanted) >= 0,
  contains: (value, wanted) => String(value).includes(String(wanted)),
  icontains: (value, wanted) => String(value).toLowerCase().includes(String(wanted).toLowerCase()),
};

function order(reader: Reader): Filter["compare"] {
  if (!reader.take("sort")) return () => 0;
  reader.need("by");
  const fields: { symbol: string; sign: number }[] = [];
  do {
    const symbol = reader.symbol();
    const sign = reader.take("desc") ? -1 : 1;
    if (sign === 1) reader.take("asc");
    fields.push({ symbol, sign });
  } while (reader.take(","));
  return (one, other) => {
    for (const { symbol, sign } of fields) {
      const difference = compareValues(plain(fieldOf(one, symbol)), plain(fieldOf(other, symbol)));
      if (difference !== 0) return sign * difference;
    }
    return 0;
  };
}

function setOf(reader: Reader): (row: object) => Value[] {
  reader.need("(");
  const symbol = reader.symbol();
  reader.need(")");
  return (row) => {
    const value = fieldOf(row, symbol) ?? [];
    if (!Array.isArray(value)) throw invalidFilter(`${symbol} is no set`);
    return value.map(plain);
  };
}

function listOf(reader: Reader): Value[] {
  reader.need("[");
  const values = [reader.value()];
  while (reader.take(",")) values.push(reader.value());
  reader.need("]");
  return values;
}

function bound(reader: Reader): number | "none" {
  return reader.take("none") ? "none" : whole(reader);
}

function whole(reader: Reader): number {
  const value = reader.value();
  if (typeof value !== "number" || !Number.isInteger(value) || value < 0) throw invalidFilter(`${value} is no count`);
  return value;
}

function createReader(tokens: readonly Token[], symbols: ReadonlySet<string>): Reader {
  let at = 0;
  const textOf = (token: Token | undefined) =>
    token?.kind === "word" || token?.kind === "mark" ? token.text : undefined;
  const reader: Reader = {
    next: () => tokens[at++],
    peek: () => tokens[at],
    take(text) {
      const isIt = textOf(tokens[at]) === text;
      if (isIt) at += 1;
      return isIt;
    },
    need(text) {
      if (!reader.take(text)) throw invalidFilter(`${text} is expected at ${JSON.stringify(tokens[at] ?? "the end")}`);
    },
    name() {
      const token = reader.next();
      if (token?.kind !== "word") throw invalidFilter(`a name is expected, not ${JSON.stringify(token ?? "the end")}`);
      return token.text;
    },
    symbol() {
      const name = reader.name();
      if (!symbols.has(name) && !name.startsWith("tags.")) throw invalidFilter(`unknown symbol ${name}`);
      return name;
    },
    value() {
      const token = reader.next();
      if (token?.kind === "text" || token?.kind === "number" || token?.kind === "time") return token.value;
      if (token?.kind === "word" && token.text === "null") return null;
      if (token?.kind === "word" && ["true", "false"].includes(token.text)) return token.text === "true";
      throw invalidFilter(`a value is expected, not ${JSON.stringify(token ?? "the end")}`);
    },
  };
  return reader;
}

function fieldOf(row: object, symbol: string): unknown {
  const [first = "", ...rest] = symbol.split(".");
  const value: unknown = Reflect.get(row, first);
  if (rest.length === 0) return isReference(value) ? value.id : value;
  return typeof value === "object" && value !== null ? Reflect.get(value, rest.join(".")) : undefined;
}

/** What a record says of another that it belongs to stands for that one's id. */
function isReference(value: unknown): value is { readonly id: string } {
  return typeof value === "object" && value !== null && "entity" in value && "id" in value;
}

function plain(value: unknown): Value {
  if (value instanceof Date) return value.getTime();
  if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") return value;
  return null;
}

function compareValues(one: Value, other: Value): number {
  if (one === other) return 0;
  if (one === null || other === null) return one === null ? -1 : 1;
  return one < other ? -1 : 1;
}
