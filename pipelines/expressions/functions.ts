/** The kinds of values an expression can have, as bits: what is known before a run is a set of them. */
export const kinds = { text: 1, number: 2, boolean: 4, nothing: 8, list: 16, object: 32 } as const;
export type Kinds = number;

export const anything: Kinds = 63;
/** What a text in a file can show. */
export const printable: Kinds = kinds.text | kinds.number | kinds.boolean | kinds.nothing;

const names: Readonly<Record<keyof typeof kinds, string>> = {
  text: "text",
  number: "a number",
  boolean: "true or false",
  nothing: "null",
  list: "a list",
  object: "an object",
};

/** `text or a number`. */
export function kindsText(mask: Kinds): string {
  const listed = (Object.keys(kinds) as (keyof typeof kinds)[]).filter((kind) => (mask & kinds[kind]) !== 0);
  return listed.map((kind) => names[kind]).join(" or ");
}

/** The kind of any JSON value. */
export function kindOf(value: unknown): Kinds {
  if (typeof value === "string") return kinds.text;
  if (typeof value === "number") return kinds.number;
  if (typeof value === "boolean") return kinds.boolean;
  if (Array.isArray(value)) return kinds.list;
  return typeof value === "object" && value !== null ? kinds.object : kinds.nothing;
}

export type FunctionName =
  | "contains"
  | "starts_with"
  | "ends_with"
  | "format"
  | "join"
  | "to_json"
  | "success"
  | "failure"
  | "always"
  | "cancelled";

interface Signature {
  readonly operands: readonly Kinds[];
  /** How many of the operands must be given. */
  readonly required: number;
  /** The last may be repeated. */
  readonly isVariadic?: boolean;
  readonly result: Kinds;
  /** Of the jobs that were needed; in conditions only. */
  readonly isStatus?: boolean;
  readonly usage: string;
  readonly help: string;
}

const text: Kinds = kinds.text;
const pair = { operands: [text, text], required: 2, result: kinds.boolean } as const;
const status = { operands: [], required: 0, result: kinds.boolean, isStatus: true } as const;

/** Every function there is. */
export const functions: Readonly<Record<FunctionName, Signature>> = {
  contains: {
    operands: [text | kinds.list, printable],
    required: 2,
    result: kinds.boolean,
    usage: "contains(where, what)",
    help: "whether a text holds another, or a list holds a value",
  },
  starts_with: { ...pair, usage: "starts_with(text, start)", help: "whether a text starts with another" },
  ends_with: { ...pair, usage: "ends_with(text, end)", help: "whether a text ends with another" },
  format: {
    operands: [text, printable],
    required: 1,
    isVariadic: true,
    result: text,
    usage: "format('{0}-{1}', first, second)",
    help: "the text with the values in place of `{0}`, `{1}`, …; `{{` and `}}` are braces",
  },
  join: {
    operands: [kinds.list, text],
    required: 1,
    result: text,
    usage: "join(list, separator)",
    help: "the values of a list as one text; the separator is `,` unless given",
  },
  to_json: { operands: [anything], required: 1, result: text, usage: "to_json(value)", help: "the value as JSON" },
  success: { ...status, usage: "success()", help: "every job that this one needs succeeded; true without needs" },
  failure: {
    ...status,
    usage: "failure()",
    help: "a job that this one needs failed, or was skipped because one before it failed",
  },
  always: { ...status, usage: "always()", help: "true, also when the run is cancelled" },
  cancelled: {
    ...status,
    usage: "cancelled()",
    help: "the run is being cancelled, or a job that this one needs was, or was skipped because of that",
  },
};

/** Names of `Object.prototype`, such as `constructor`, are none. */
export function isFunctionName(name: string): name is FunctionName {
  return Object.hasOwn(functions, name);
}
