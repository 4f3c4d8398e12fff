import { durationPattern, durationText, parseDuration } from "./durations.ts";
import { limits, limitText } from "./limits.ts";
import { quote, suggestNearest, type Report } from "./problems.ts";
import { scalarText, type YamlNode, type YamlScalar } from "./read-yaml.ts";
import { kindText, type LimitName, type Located, type Shape } from "./shapes.ts";

interface TextRules {
  readonly what: string;
  readonly limit: LimitName;
  readonly pattern?: RegExp;
  /** Line ends and tabs are allowed. */
  readonly hasLines?: boolean;
  /** What is said of a text with `${{`; nothing where expressions are resolved. */
  readonly noExpressions?: string;
}

const plainText = "expressions are not resolved here";

/** A text without expressions, unless its rules say otherwise. */
export function text(rules: TextRules): Shape<string> {
  const { what, limit, pattern } = rules;
  const bound = limits[limit].value;
  const plain = rules.noExpressions === undefined ? {} : { pattern: "^(?![\\s\\S]*\\$\\{\\{)" };
  const schema = { type: "string", maxLength: bound, ...(pattern === undefined ? plain : { pattern: pattern.source }) };
  return {
    what,
    schema,
    read(node, report) {
      const value = readScalarText(node, what, report);
      if (value === undefined) return undefined;
      const fault = textFault(value, rules);
      if (fault === undefined) return value;
      report.add(node, ...fault);
      return undefined;
    },
  };
}

function textFault(value: string, rules: TextRules): [message: string, hint?: string] | undefined {
  const { what, limit, pattern, hasLines = false, noExpressions } = rules;
  const isLong = limit.endsWith("_bytes")
    ? byteLength(value) > limits[limit].value
    : value.length > limits[limit].value;
  if (isLong) return [`too long: ${limitText(limit)}`];
  const character = characterFault(value, hasLines);
  if (character !== undefined) return [character];
  if (noExpressions !== undefined && value.includes("${{")) return [`\${{ is not allowed: ${plainText}`, noExpressions];
  if (pattern !== undefined && !pattern.test(value)) return [`${quote(value)} is not ${what}`];
  return undefined;
}

/** What a text may never hold, because a database, an environment or a terminal could not. */
export function characterFault(value: string, hasLines: boolean): string | undefined {
  if (value.includes("\0")) return "holds a NUL character";
  if (!value.isWellFormed()) return "holds half of a surrogate pair";
  const control = /\p{Cc}/u.exec(hasLines ? value.replaceAll(/[\t\n\r]/g, " ") : value)?.[0];
  return control === undefined || hasLines ? undefined : `holds the control character ${quote(control)}`;
}

/** In UTF-8, as limits of texts count. */
export function byteLength(value: string): number {
  return new TextEncoder().encode(value).length;
}

/** The text of a scalar; anything else is reported. */
function readScalarText(node: YamlNode, what: string, report: Report): string | undefined {
  const value = node.kind === "scalar" ? scalarText(node) : undefined;
  if (value === undefined) report.add(node, `is ${kindText(node)}: expected ${what}`);
  return value;
}

/** A name, as jobs, inputs, axes and outputs have: it starts with a letter, so that no name of the language's own is one. */
export function name(noun: string): Shape<string> {
  const what = `the name of ${noun}: letters, digits, - and _, the first a letter`;
  return text({ what, limit: "name_characters", pattern: /^[A-Za-z][A-Za-z0-9_-]*$/, noExpressions: "write a name" });
}

/** A text that may hold expressions, with its place, for whoever checks them. */
export function template(what: string, limit: LimitName = "text_bytes"): Shape<Located<string> & { node: YamlScalar }> {
  const plain = text({ what, limit, hasLines: limit === "text_bytes" });
  return {
    what: `${what}, which may hold \${{ }}`,
    schema: { type: ["string", "number", "boolean"] },
    read(node, report) {
      const value = plain.read(node, report);
      return value === undefined || node.kind !== "scalar" ? undefined : { value, node };
    },
  };
}

/** A finite number within bounds; −0 is 0. */
export function number(what: string, minimum: number, maximum: number, isWhole = true): Shape<number> {
  return {
    what,
    schema: { type: isWhole ? "integer" : "number", minimum, maximum },
    read(node, report) {
      const value = node.kind === "scalar" ? node.value : undefined;
      const fits = typeof value === "number" && value >= minimum && value <= maximum;
      if (fits && (!isWhole || Number.isInteger(value))) return value + 0;
      report.add(node, `is ${kindText(node)}: expected ${what}`);
      return undefined;
    },
  };
}

export function boolean(): Shape<boolean> {
  const what = "true or false";
  return {
    what,
    schema: { type: "boolean" },
    read(node, report) {
      if (node.kind === "scalar" && typeof node.value === "boolean") return node.value;
      report.add(node, `is ${kindText(node)}: expected ${what}`);
      return undefined;
    },
  };
}

/** A duration in milliseconds. */
export function duration(
  limit: LimitName = "duration_ms",
  minimum_ms: number = limits.minimumDuration_ms.value,
): Shape<number> {
  const maximum_ms = limits[limit].value;
  const what = "a duration such as 90s, 10m or 2h";
  return {
    what,
    schema: { type: "string", pattern: durationPattern },
    read(node, report) {
      const source = readScalarText(node, what, report);
      if (source === undefined) return undefined;
      const value_ms = parseDuration(source);
      if (value_ms === undefined) {
        const hint = /^\d+$/.test(source) ? `with a unit: ${source}s or ${source}m` : undefined;
        report.add(node, `${quote(source)} is not ${what}`, hint);
        return undefined;
      }
      if (value_ms >= minimum_ms && value_ms <= maximum_ms) return value_ms;
      report.add(node, `${quote(source)} is not from ${durationText(minimum_ms)} to ${durationText(maximum_ms)}`);
      return undefined;
    },
  };
}

/** One of a few words. */
export function choice<const W extends string>(words: readonly W[]): Shape<W> {
  const what = words.length === 1 ? `\`${words[0]}\`` : `one of ${words.join(", ")}`;
  return {
    what,
    schema: { enum: [...words] },
    read(node, report) {
      const value = readScalarText(node, what, report);
      const found = words.find((word) => word === value);
      if (value !== undefined && found === undefined)
        report.add(node, `${quote(value)} is not ${what}`, suggestNearest(value, words));
      return found;
    },
  };
}
