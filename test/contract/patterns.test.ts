/** The contract's patterns run in JavaScript's own engine, which goes back and tries again: each must leave it nothing to try twice. */
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const folder = join(import.meta.dirname, "../../proto/agyn");
const patterns = globSync("**/*.proto", { cwd: folder }).flatMap((file) =>
  [...readFileSync(join(folder, file), "utf8").matchAll(/pattern(?: =|:) ("(?:[^"\\]|\\.)*")/g)].map(
    ([, literal]) => JSON.parse(literal!) as string,
  ),
);

test("no pattern of the contract repeats a group or begins anywhere, so that matching takes linear time", () => {
  expect(patterns.length).toBeGreaterThan(100);
  expect(patterns.filter((one) => /\)[*+{]/.test(one) || !/^\^.*\$$/.test(one))).toEqual([]);
});

test("each pattern of the contract is one that JavaScript reads", () => {
  for (const one of patterns) expect(() => new RegExp(one, "u"), one).not.toThrow();
});
