import { expect, test } from "vitest";
import { matchesGlob, matchesPatterns } from "../../server/src/domain/glob.ts";
import { processorTime_ms } from "../support/own-time.ts";

test.each([
  ["main", "main", true],
  ["main", "main2", false],
  ["main", "ma", false],
  ["job-1", "job-10", false],
  ["release/*", "release/1.2", true],
  ["release/*", "release/1/2", false],
  ["release/**", "release/1/2", true],
  ["v?", "v1", true],
  ["v?", "v12", false],
  ["**/build", "build", true],
  ["**/build", "a/b/build", true],
  ["**/build", "rebuild", false],
  ["src/**/x.ts", "src/x.ts", true],
  ["src/**/x.ts", "src/a/b/x.ts", true],
  ["src/**/x.ts", "src/ax.ts", false],
  ["*.md", "docs/a.md", false],
  ["**", "", true],
  ["*", "a/b", false],
  ["a.b", "axb", false],
  ["[a]", "a", false],
])("the pattern %j on %j: %s", (pattern, text, expected) => {
  expect(matchesGlob(pattern, text)).toBe(expected);
});

test("what `!` takes away does not fit, and patterns that only take away fit all else", () => {
  expect(matchesPatterns(["**", "!docs/**"], "docs/a")).toBe(false);
  expect(matchesPatterns(["!docs/**"], "src/a")).toBe(true);
  expect(matchesPatterns(["!docs/**"], "docs/a")).toBe(false);
});

test("bad-33: a pattern made to explode is decided in a moment", () => {
  const text = "a".repeat(4000);
  const patterns = [`${"*a".repeat(60)}b`, `${"**".repeat(40)}b`, `${"**/".repeat(40)}b`, "(a+)+$"];
  const took_ms = processorTime_ms(() => {
    for (const pattern of patterns) expect(matchesGlob(pattern, text)).toBe(false);
  });
  expect(took_ms).toBeLessThan(2000);
});
