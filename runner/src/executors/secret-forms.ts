/** The forms in which the value of a secret may come out of a job: what the runner looks for. Pure. */
import { Buffer } from "node:buffer";

import { minimumMasked_bytes } from "../../../wire/secrets.ts";

/** A longer literal is looked for in parts of so many bytes, so that little output waits for what may become one. */
export const maximumLiteral_bytes = 256;
/** Columns at which programs break base64: PEM, and `base64` of GNU. */
const base64Columns = [64, 76];

/** Values that say nothing, and stand in every output. */
const commonWords = new Set(
  "admin administrator changeme debug default development disabled enabled example false master latest localhost nobody password postgres production public release secret staging stdout string testing undefined unknown username".split(
    " ",
  ),
);

/** Every literal of a value: none where it is too short or too common to be masked. */
export function secretForms(value: string): Uint8Array[] {
  const trimmed = value.trim();
  const lines = trimmed.split(/[\r\n]+/).map((line) => line.trim());
  if (!lines.some(isMaskable)) return [];
  const texts = lines.filter(isMaskable).flatMap((line) => [line, ...encodings(line)]);
  if (lines.length > 1) texts.push(...encodings(trimmed), ...encodings(value));
  const literals = new Map<string, Uint8Array>();
  for (const text of texts) {
    for (const part of parts(Buffer.from(text))) literals.set(part.toString("latin1"), part);
  }
  return [...literals.values()];
}

function isMaskable(text: string): boolean {
  return Buffer.byteLength(text) >= minimumMasked_bytes && !commonWords.has(text.toLowerCase());
}

/** As JSON, URLs and base64 carry it; each on one line. */
function encodings(text: string): string[] {
  const bytes = Buffer.from(text);
  const percent = encodeURIComponent(text);
  const strict = percent.replaceAll(/[!'()*]/g, (one) => `%${one.charCodeAt(0).toString(16).toUpperCase()}`);
  const urls = [percent, strict, strict.replaceAll("%20", "+"), strict.replaceAll("%2F", "/"), encodeURI(text)];
  const base64 = [0, 1, 2].map((shift) => base64At(bytes, shift));
  const forms = [
    ...jsonTexts(text),
    ...urls,
    ...urls.map((url) => url.replaceAll(/%../g, (one) => one.toLowerCase())),
    ...base64,
    ...base64.map((one) => one.replaceAll("+", "-").replaceAll("/", "_")),
    ...base64Columns.flatMap((columns) => broken(base64[0]!, columns)),
  ];
  return forms.filter((form) => form.length >= minimumMasked_bytes);
}

/** As writers of JSON escape a text: what they must; of other languages also what is not ASCII, what HTML knows, slashes. */
function jsonTexts(text: string): string[] {
  const escapes = [/[\u007f-\uffff]/g, /[<>&]/g];
  const escaped = escapes.reduce<string[]>(
    (texts, pattern) => [...texts, ...texts.map((one) => one.replaceAll(pattern, unicodeEscape))],
    [JSON.stringify(text).slice(1, -1)],
  );
  return [...escaped, ...escaped.map((one) => one.replaceAll("/", String.raw`\/`))];
}

function unicodeEscape(unit: string): string {
  return String.raw`\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

/**
 * The base64 of bytes that stand behind `shift` others in a group of three: the digits that these bytes alone decide, whatever
 * comes before and after them.
 */
function base64At(bytes: Buffer, shift: number): string {
  const digits = Buffer.concat([Buffer.alloc(shift), bytes]).toString("base64");
  const whole = Math.floor(((shift + bytes.length) * 8) / 6);
  return digits.slice(Math.ceil((shift * 8) / 6), whole);
}

function broken(text: string, columns: number): string[] {
  if (text.length <= columns) return [];
  return Array.from({ length: Math.ceil(text.length / columns) }, (_, row) =>
    text.slice(row * columns, (row + 1) * columns),
  );
}

/** A literal, or where it is long its parts, of which the last overlaps the one before it. */
function parts(literal: Buffer): Buffer[] {
  if (literal.length <= maximumLiteral_bytes) return [literal];
  const found: Buffer[] = [];
  for (let start = 0; start < literal.length; start += maximumLiteral_bytes) {
    const first = Math.min(start, literal.length - maximumLiteral_bytes);
    found.push(literal.subarray(first, first + maximumLiteral_bytes));
  }
  return found;
}
