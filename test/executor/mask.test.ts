import { expect, test } from "vitest";

import { createMask } from "../../runner/src/executors/mask.ts";
import { seededRandom } from "../support/seeded-random.ts";

const maskOf = (...values: string[]) =>
  createMask(values.map((value, index) => ({ name: `SECRET_${index}`, value, secret: true })));

/** What becomes of a text that comes in pieces, the rest of each with the next. */
function masked(mask: ReturnType<typeof maskOf>, pieces: readonly string[]): string {
  let waiting = Buffer.alloc(0);
  let output = "";
  for (const [index, piece] of pieces.entries()) {
    waiting = Buffer.concat([waiting, Buffer.from(piece)]);
    const { bytes, taken } = mask.apply(waiting, index === pieces.length - 1);
    output += bytes.toString();
    waiting = waiting.subarray(taken);
  }
  return output;
}

const value = 'tök/en+"with" <all> of=it&?';
const ascii = (text: string) => text.replaceAll("ö", String.raw`\u00f6`);
const forHtml = (text: string) => text.replaceAll(/[<>&]/g, (one) => String.raw`\u00` + one.charCodeAt(0).toString(16));
const base64 = Buffer.from(value).toString("base64");
const forms: [what: string, text: string][] = [
  ["as it is", value],
  ["base64", base64],
  ["base64 for URLs", Buffer.from(value).toString("base64url")],
  ["base64 of a text that it is a part of", Buffer.from(`user:${value}`).toString("base64")],
  ["URL-encoded", encodeURIComponent(value)],
  ["URL-encoded in lower case", encodeURIComponent(value).replaceAll(/%../g, (one) => one.toLowerCase())],
  ["a form's field", new URLSearchParams({ a: value }).toString().slice(2)],
  ["URL-encoded as a path", encodeURIComponent(value).replaceAll("%2F", "/")],
  ["URL-encoded as a whole URL", encodeURI(value)],
  ["in JSON", JSON.stringify({ value })],
  ["in JSON of ASCII alone", ascii(JSON.stringify({ value }))],
  ["in JSON that HTML may hold", forHtml(JSON.stringify({ value }))],
  ["in JSON that escapes slashes, too", ascii(JSON.stringify({ value })).replaceAll("/", String.raw`\/`)],
];

test.each(forms)("bad-38: a secret is masked: %s", (_what, text) => {
  const output = masked(maskOf(value), [`before ${text} after\n`]);
  expect(output).toMatch(/^before .*\*\*\*.* after\n$/);
  for (const [, form] of forms)
    for (const part of [form.slice(4, 12), form.slice(8, 16)]) expect(output).not.toContain(part);
});

test("bad-38: a secret is masked wherever it is cut in two", () => {
  const text = `a ${value} b ${base64} c\n`;
  const mask = maskOf(value);
  const whole = masked(mask, [text]);
  for (let cut = 1; cut < text.length; cut++) expect(masked(mask, [text.slice(0, cut), text.slice(cut)])).toBe(whole);
  expect(masked(mask, [...text])).toBe(whole);
});

test("bad-38: each line of a secret of several lines is masked, and so is the whole in base64 that is broken into lines", () => {
  const key = `-----BEGIN KEY-----\n${"Qm9y".repeat(16)}\n${"x1y2".repeat(16)}\nend\n-----END KEY-----\n`;
  const broken = Buffer.from(key.trim()).toString("base64").replaceAll(/.{76}/g, "$&\n");
  const output = masked(maskOf(key), [`${key}${key.replaceAll("\n", "\r\n")}${broken}\n${JSON.stringify(key)}\n`]);
  expect(output.split(/\r?\n/).filter((line) => /[a-zA-Z0-9]/.test(line))).toEqual(["end", "end"]);
});

test("bad-38: a secret shorter than 6 bytes or a common word is not masked, and is named", () => {
  const mask = maskOf("short", "Production", "long enough");
  expect(masked(mask, ["short production Production long enough\n"])).toBe("short production Production ***\n");
  expect(mask.unmasked).toEqual(["SECRET_0", "SECRET_1"]);
});

test("a line that has ended waits for nothing", () => {
  const mask = maskOf("secret value", "value\nof two lines");
  const { bytes, taken } = mask.apply(Buffer.from("a secret valu\nsecret v"), false);
  expect([bytes.toString(), taken]).toEqual(["a secret valu\n", 14]);
});

test("secrets that overlap leave nothing of each other", () => {
  expect(masked(maskOf("abcdefgh", "efghijkl"), ["abcd", "efgh", "ijkl."])).toBe("***.");
  expect(masked(maskOf("aaaaaaa"), ["aaaaaaaaaa", "aaa", "b"])).toBe("***b");
});

test("what waits is bounded, whatever a job writes", () => {
  const mask = maskOf("aaaaaaa", "ab".repeat(5000));
  for (const text of ["a".repeat(70_000), "ab".repeat(35_000)]) {
    const { bytes, taken } = mask.apply(Buffer.from(text), false);
    expect(text.length - taken).toBeLessThanOrEqual(512);
    expect(bytes.toString()).toMatch(/^(\*\*\*)?$/);
  }
});

test("output without secrets comes out as it went in, whatever its bytes", () => {
  const random = seededRandom(38);
  const mask = maskOf("no such value", value);
  for (let round = 0; round < 200; round++) {
    const bytes = Buffer.from(Array.from({ length: 300 }, () => random(256)));
    expect(mask.apply(bytes, true).bytes).toEqual(bytes);
  }
});
