import { getOption, hasOption, toJson, type DescField, type JsonValue } from "@bufbuild/protobuf";
import { field as fieldRules, FieldRulesSchema } from "../../proto/gen/buf/validate/validate_pb.ts";

/** Words for rules that read better than their names; `$` stands for the value. */
const phrases: Record<string, string> = {
  required: "required",
  "string.minLen": "at least $ characters",
  "string.maxLen": "at most $ characters",
  "string.maxBytes": "at most $ bytes",
  "string.pattern": "matches `$`",
  "string.notContains": "does not contain `$`",
  "bytes.minLen": "at least $ bytes",
  "bytes.maxLen": "at most $ bytes",
  "bytes.len": "$ bytes",
  "repeated.minItems": "at least $ items",
  "repeated.maxItems": "at most $ items",
  "repeated.unique": "no item twice",
  "map.minPairs": "at least $ pairs",
  "map.maxPairs": "at most $ pairs",
  "enum.definedOnly": "a known value",
  "enum.notIn": "none of $",
  "double.finite": "finite",
};

const comparisons: Record<string, string> = {
  gte: "≥ $",
  gt: "> $",
  lte: "≤ $",
  lt: "< $",
  in: "one of $",
  const: "= $",
};

/** The limits of a field in words, from the rules that the server checks; empty where there are none. */
export function limitsOf(field: DescField): string {
  if (!hasOption(field, fieldRules)) return "";
  const rules = toJson(FieldRulesSchema, getOption(field, fieldRules));
  return describe(rules as Record<string, JsonValue>, "").join("; ");
}

function describe(rules: Record<string, JsonValue>, path: string): string[] {
  return Object.entries(rules).flatMap(([name, value]) => {
    const key = path === "" ? name : `${path}.${name}`;
    if (name === "items" || name === "keys" || name === "values") {
      const each = describe(value as Record<string, JsonValue>, "");
      return each.length === 0 ? [] : [`${name === "items" ? "each" : name}: ${each.join(", ")}`];
    }
    if (value === 1 && /\.min(Len|Items|Pairs)$/.test(key)) return ["not empty"];
    const phrase = phrases[key] ?? comparisons[name];
    if (phrase !== undefined) return [phrase.replaceAll("$", () => valueText(value))];
    if (value !== null && typeof value === "object" && !Array.isArray(value)) return describe(value, name);
    return [`${key} ${valueText(value)}`];
  });
}

function valueText(value: JsonValue): string {
  if (Array.isArray(value)) return value.map(valueText).join(", ");
  return typeof value === "string" ? value : JSON.stringify(value);
}
