import { limits, limitText } from "./limits.ts";
import { quote } from "./problems.ts";
import { byteLength, characterFault } from "./scalar-shapes.ts";

interface TextRule {
  readonly what: string;
  readonly limit: keyof typeof limits;
  readonly pattern?: RegExp;
  /** What fits the pattern and is refused all the same. */
  readonly exception?: { readonly pattern: RegExp; readonly what: string };
}

/** What a text must be once its expressions are resolved; `variable` is the value of one. */
const rules = {
  variable: { what: "the value of a variable", limit: "text_bytes" },
  group: { what: "the name of a concurrency group", limit: "group_characters", pattern: /\S/ },
  artifact: {
    what: "the name of an artifact: letters, digits, spaces, ., _, +, = and -, the first a letter or a digit",
    limit: "artifactName_characters",
    pattern: /^[A-Za-z0-9]([A-Za-z0-9 ._+=-]*[A-Za-z0-9_+=-])?$/,
    exception: { pattern: /^(con|prn|aux|nul|com\d|lpt\d)(\..*)?$/i, what: "the name of a device on Windows" },
  },
  label: { what: "the value of a label", limit: "labelValue_characters" },
  decimal: {
    what: "a decimal number, which greater and less compare with",
    limit: "labelValue_characters",
    pattern: /^[+-]?\d+(\.\d+)?$/,
  },
  container: {
    what: "the image of a container, such as node:26",
    limit: "container_characters",
    pattern: /^[A-Za-z0-9][A-Za-z0-9._/:@+-]*$/,
  },
} as const satisfies Record<string, TextRule>;

export type TextKind = keyof typeof rules;

/** Why a resolved text cannot be used as what it is for, or `undefined`. */
export function resolvedFault(kind: TextKind, value: string): string | undefined {
  const { what, limit, pattern, exception }: TextRule = rules[kind];
  const isVariable = kind === "variable";
  if ((isVariable ? byteLength(value) : value.length) > limits[limit].value) return `too long: ${limitText(limit)}`;
  const fault = characterFault(value, isVariable);
  if (fault !== undefined) return fault;
  if (exception?.pattern.test(value) === true) return `${quote(value)} is ${exception.what}`;
  return pattern === undefined || pattern.test(value) ? undefined : `${quote(value)} is not ${what}`;
}
