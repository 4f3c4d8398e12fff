import { Document, visit } from "yaml";

/** What a terminal could take for an order, or that reorders or hides text. JSON escapes the lower controls by itself. */
const unsafe = /[\p{Cc}\p{Cf}\u2028\u2029]/gu;

function escapeUnsafe(text: string): string {
  const escapeUnit = (unit: string): string => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return text.replace(unsafe, (character) =>
    character === "\n" ? character : character.split("").map(escapeUnit).join(""),
  );
}

/** `value` as indented JSON without characters that could drive a terminal; no information is lost. */
export function toSafeJson(value: unknown): string {
  return `${escapeUnsafe(JSON.stringify(value, undefined, 2))}\n`;
}

/** `value` as YAML, likewise. */
export function toSafeYaml(value: unknown): string {
  const document = new Document(value);
  visit(document, {
    Scalar(_key, node) {
      if (typeof node.value === "string" && node.value.search(unsafe) >= 0) node.type = "QUOTE_DOUBLE";
    },
  });
  return escapeUnsafe(document.toString({ lineWidth: 0 }));
}
