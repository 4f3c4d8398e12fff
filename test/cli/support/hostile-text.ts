import { expect } from "vitest";

/** What drives terminals: title, link, clipboard, cursor, C1, overwriting, reordering; and an order to a shell. */
export const hostile =
  "a\u001b]0;title\u0007b\u001b]8;;javascript:alert(1)\u001b\\c\u001b]52;c;ZXZpbA==\u0007d\u001b[2J\u001b[1;1He\u009b31mf\rg\u202eh\u0000\nrow;$(id)";

/** Colours and line ends are all that may be left of controls. */
export function expectHarmless(text: string): void {
  const escape = String.fromCharCode(27);
  const rest = text.replaceAll(new RegExp(`${escape}\\[[\\d;:]*m`, "g"), "");
  expect(
    rest.match(/[\p{Cc}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu)?.filter((character) => character !== "\n") ??
      [],
  ).toEqual([]);
}
