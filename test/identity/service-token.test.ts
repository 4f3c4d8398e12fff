import { randomBytes, sign, verify } from "node:crypto";
import { expect, test } from "vitest";
import { createId } from "../../wire/ids.ts";
import { ed25519PublicKey } from "../../wire/keys.ts";
import { createServiceToken, parseServiceToken } from "../../wire/service-token.ts";

const runnerId = createId("runner");
const rootPin = new Uint8Array(randomBytes(32));
const token = createServiceToken({ runnerId, rootPin });

function parsed(text: string) {
  const result = parseServiceToken(text);
  if ("error" in result) throw new Error(result.error);
  return result;
}

function errorOf(text: string): string {
  const result = parseServiceToken(text);
  return "error" in result ? result.error : "";
}

test("a token gives back its runner, pin and key", () => {
  const { privateKey, ...rest } = parsed(token.text);
  expect(rest).toEqual({ runnerId, rootPin, publicKey: token.publicKey });
  const message = Buffer.from("message");
  expect(verify(null, message, ed25519PublicKey(token.publicKey), sign(null, message, privateKey))).toBe(true);
});

test("no two tokens of a runner are alike", () => {
  expect(createServiceToken({ runnerId, rootPin }).text).not.toBe(token.text);
});

test.each(["\n", "\r\n", " "])("bad-03: a token followed by %j is taken", (end) => {
  expect(parsed(token.text + end).runnerId).toBe(runnerId);
});

const broken: readonly [string, string, RegExp][] = [
  ["empty text", "", /^service token is empty$/],
  ["a lone line end", "\n", /^service token is empty$/],
  ["upper case", token.text.toUpperCase(), /upper-case/],
  [
    "one upper-case letter",
    token.text.replace(/[a-z](?=.{3}$)/, (letter) => letter.toUpperCase()).replace(/.{4}$/, "AAAA"),
    /upper-case/,
  ],
  ["a NUL", `${token.text.slice(0, 40)}\0${token.text.slice(41)}`, /NUL/],
  ["a megabyte", "a".repeat(1 << 20), /longer than 256 characters/],
  ["another kind of token", `agyn_pat_${token.text.slice(9)}`, /does not begin with agyn_rt_/],
  ["a character outside the alphabet", `${token.text.slice(0, 20)}!${token.text.slice(21)}`, /at position 21$/],
  ["a token cut off", token.text.slice(0, -1), /132 characters instead of 133/],
  ["two tokens", token.text + token.text, /longer than 256/],
  ["two line ends", `${token.text}\n\n`, /position 134$/],
];
test.each(broken)("bad-03: %s is refused by its rule, and not repeated", (_, text, rule) => {
  const error = errorOf(text);
  expect(error).toMatch(rule);
  expect(error).not.toContain(token.text.slice(30, 60));
});

test("bad-03: any one changed character is noticed", () => {
  const start = "agyn_rt_".length;
  for (let index = start; index < token.text.length; index++) {
    const other = token.text[index] === "a" ? "b" : "a";
    expect(errorOf(token.text.slice(0, index) + other + token.text.slice(index + 1))).toMatch(/checksum/);
  }
});

test("a malformed runner id or pin makes no token", () => {
  expect(() => createServiceToken({ runnerId: "rnr_1", rootPin })).toThrow(/not a runner id/);
  expect(() => createServiceToken({ runnerId, rootPin: rootPin.subarray(1) })).toThrow(/31 bytes/);
});
