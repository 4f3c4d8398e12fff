import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { pipelineOf, planOf } from "../pipelines/support.ts";

const root = resolve(import.meta.dirname, "../..");

test("every pipeline that the guide shows is one, and is planned", async () => {
  const page = await readFile(join(root, "docs/guide/pipelines.md"), "utf8");
  const blocks = [...page.matchAll(/^```yaml\n([^]*?)^```$/gm)].map(([, text = ""]) => text);

  expect(blocks.length).toBeGreaterThan(5);
  for (const text of blocks) expect(planOf(pipelineOf(text), { target: "staging" }).jobs.length).toBeGreaterThan(0);
});

test("the jobs of a matrix have the names that the guide says", async () => {
  const page = await readFile(join(root, "docs/guide/pipelines.md"), "utf8");
  const matrix =
    [...page.matchAll(/^```yaml\n([^]*?)^```$/gm)].find(([, text]) => text?.includes("matrix:"))?.[1] ?? "";

  for (const { name } of planOf(pipelineOf(matrix)).jobs) expect(page).toContain(`\`${name}\``);
});
