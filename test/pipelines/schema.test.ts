import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { parse } from "yaml";
import { z } from "zod";
import { problemsOf } from "./support.ts";

const root = resolve(import.meta.dirname, "../..");
let schema: z.ZodType;

beforeAll(async () => {
  const text = await readFile(join(root, "docs/reference/pipeline.schema.json"), "utf8");
  schema = z.fromJSONSchema(JSON.parse(text) as Parameters<typeof z.fromJSONSchema>[0]);
});

test("an editor takes every pipeline that the guide shows", async () => {
  const page = await readFile(join(root, "docs/guide/pipelines.md"), "utf8");

  for (const [, text = ""] of page.matchAll(/^```yaml\n([^]*?)^```$/gm))
    expect({ text, problems: schema.safeParse(parse(text)).error?.issues }).toEqual({ text, problems: undefined });
});

const wrong: [what: string, text: string][] = [
  ["an unknown word", "jobs: {a: {run: x, nedes: b}}"],
  ["a missing word", "jobs: {a: {}}"],
  ["an expression in a script", "jobs: {a: {run: '${{ run.ref }}'}}"],
  ["a duration without a unit", "jobs: {a: {run: x, timeout: '10'}}"],
  ["a priority out of bounds", "jobs: {a: {run: x, priority: 2000}}"],
  ["a name that is none", "jobs: {1a: {run: x}}"],
  ["an axis that is no list", "jobs: {a: {run: x, matrix: {os: linux}}}"],
  ["a path that climbs", "jobs: {a: {run: x, artifacts: {upload: [{name: a, paths: ../b}]}}}"],
];

test.each(wrong)("an editor and the parser both refuse %s", (_what, text) => {
  expect(schema.safeParse(parse(text)).success).toBe(false);
  expect(problemsOf(text)).not.toEqual([]);
});
