import { expect, test } from "vitest";
import { createPathMatcher } from "../../runner/src/executors/path-pattern.ts";

test.each([
  ["out", ["out", "out/app", "out/lib/a"], ["outer", "in/out"]],
  ["out/*", ["out/app", "out/lib/a"], ["out"]],
  ["*.log", ["1.log", ".log", "a.log/b"], ["1.logs", "deep/1.log"]],
  ["a*b*c", ["abc", "a1b2c", "abbcc", "abcbc"], ["ab", "acb"]],
  ["?", ["a"], ["ab", ""]],
  ["**", ["a", "a/b"], []],
  ["out/**", ["out/a", "out/a/b"], ["out"]],
  ["**/a/**/b", ["a/b", "x/a/b", "a/x/y/b", "a/b/a/b/c"], ["b", "a", "b/a"]],
  ["a**b", ["ab", "axxb"], ["a/b"]],
  ["x+y.(z)", ["x+y.(z)"], ["xxy.(z)", "x+yz(z)"]],
])("the pattern %s means what it should", (pattern, meant, others) => {
  const matches = createPathMatcher(pattern);
  expect(meant.filter((path) => !matches(path))).toEqual([]);
  expect(others.filter(matches)).toEqual([]);
});

test.each([
  ["*a".repeat(400) + "*b", "a".repeat(255)],
  ["**/".repeat(300) + "b", "a/".repeat(1000) + "a"],
])("a pattern that was made to be slow holds up nobody (%#)", (pattern, path) => {
  const matches = createPathMatcher(pattern);
  const start_ms = performance.now();
  for (let time = 0; time < 5; time++) expect(matches(path)).toBe(false);
  expect(performance.now() - start_ms).toBeLessThan(5000);
});
