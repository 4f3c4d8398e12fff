import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { pipelineOf, planOf } from "../pipelines/support.ts";

const directory = resolve(import.meta.dirname, "../../examples/pipelines");

test.each(readdirSync(directory))("the example %s is a pipeline, and is planned", (file) => {
  const pipeline = pipelineOf(readFileSync(join(directory, file), "utf8"));
  const inputs = { shared: "/tmp", size: "small" };
  const known = Object.fromEntries(
    Object.entries(inputs).filter(([name]) => pipeline.inputs.some((one) => one.name === name)),
  );
  expect(planOf(pipeline, known).jobs.length).toBeGreaterThan(0);
});
