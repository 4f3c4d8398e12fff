import { Document, visit } from "yaml";

/**
 * What a terminal could take for an order, or a reader for something else: DEL, C1 controls, and characters that
 * reorder or hide text. JSON escapes the other controls by itself.
 */
const unsafe = /[\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff]/g;
const needsQuotes = /[\u0000-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff]/;

function escapeUnsafe(text: string): string {
  return text.replace(unsafe, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);
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
      if (typeof node.value === "string" && needsQuotes.test(node.value)) node.type = "QUOTE_DOUBLE";
    },
  });
  return escapeUnsafe(document.toString({ lineWidth: 0 }));
}
