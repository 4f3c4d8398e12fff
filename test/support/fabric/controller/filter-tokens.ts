import { ApiError } from "./http.ts";

/** A word of a filter: names and keywords, quoted text, numbers, times, marks. */
export type Token =
  | { readonly kind: "word"; readonly text: string }
  | { readonly kind: "text"; readonly value: string }
  | { readonly kind: "number"; readonly value: number }
  | { readonly kind: "time"; readonly value: number }
  | { readonly kind: "mark"; readonly text: string };

const maxFilter_bytes = 16 * 1024;
const escapes: Readonly<Record<string, string>> = { '"': '"', "\\": "\\", f: "\f", n: "\n", r: "\r", t: "\t" };

/** Names have letters, underlines and dots, never digits. */
const pattern =
  /\s*(?:datetime\(\s*([^)]*?)\s*\)|([A-Za-z][A-Za-z_.]*)|"((?:[^"\\]|\\.)*)"|(-?\d+(?:\.\d+)?)(?![\w.])|(!=|<=|>=|[=<>()[\],]))/gy;

/** Splits a filter into its words. Throws INVALID_FILTER. */
export function tokensOf(filter: string): Token[] {
  if (filter.length > maxFilter_bytes) throw invalidFilter(`it is over ${maxFilter_bytes} bytes`);
  const tokens: Token[] = [];
  const end = filter.trimEnd().length;
  pattern.lastIndex = 0;
  while (pattern.lastIndex < end) {
    const at = pattern.lastIndex;
    const match = pattern.exec(filter);
    if (match === null) throw invalidFilter(`it cannot be read at ${at}: ${filter.slice(at, at + 20)}`);
    tokens.push(tokenOf(match));
  }
  return tokens;
}

export function invalidFilter(reason: string): ApiError {
  return new ApiError(400, "INVALID_FILTER", `The filter query supplied could not be processed: ${reason}`, {
    violation: true,
  });
}

function tokenOf([, time, word, text, number, mark]: RegExpExecArray): Token {
  if (time !== undefined) return { kind: "time", value: timeOf(time) };
  if (word !== undefined) return { kind: "word", text: word };
  if (text !== undefined) return { kind: "text", value: unescaped(text) };
  if (number !== undefined) return { kind: "number", value: Number(number) };
  return { kind: "mark", text: mark ?? "" };
}

function timeOf(text: string): number {
  const value = /^\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)$/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(value)) throw invalidFilter(`datetime(${text}) is no time of RFC 3339`);
  return value;
}

function unescaped(text: string): string {
  return text.replaceAll(/\\(.)/gs, (_, escaped: string) => {
    const value = escapes[escaped];
    if (value === undefined) throw invalidFilter(`there is no escape \\${escaped}`);
    return value;
  });
}
