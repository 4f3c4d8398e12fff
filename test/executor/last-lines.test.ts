import { expect, test } from "vitest";
import { createLastLines } from "../../runner/src/executors/last-lines.ts";

function lastOf(...pieces: string[]): string {
  const lines = createLastLines(10);
  for (const piece of pieces) lines.add(piece);
  return lines.text;
}

test("of a text that is too long its last lines are kept, and no part of one that was cut", () => {
  expect(lastOf("one\ntwo\n")).toBe("one\ntwo\n");
  expect(lastOf("secret one\n", "two\nthree")).toBe("two\nthree");
  expect(lastOf("a secret that is", " long", " and ends\n", "then")).toBe("then");
  expect(lastOf("a secret that never ends")).toBe("");
});
