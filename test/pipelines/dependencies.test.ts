import { performance } from "node:perf_hooks";
import { expect, test } from "vitest";
import { evaluate, ended, pipelineOf, planOf, problemsOf } from "./support.ts";

test("bad-26: a job that needs itself is refused", () => {
  expect(problemsOf("jobs: {a: {run: x, needs: a}}")).toEqual(['1:27 jobs.a.needs: "a" needs itself']);
});

test("bad-26: needs that go in a circle are refused, and the circle is shown", () => {
  const text =
    "jobs:\n  a: {run: x, needs: c}\n  b: {run: x, needs: a}\n  c: {run: x, needs: b}\n  d: {run: x, needs: [a]}\n";

  expect(problemsOf(text)).toEqual(["3:22 jobs.b.needs: needs go in a circle: a → c → b → a"]);
});

test("bad-26: a long circle is shown in part", () => {
  const jobs = Array.from({ length: 400 }, (_, i) => `  j${i}: {run: x, needs: j${(i + 1) % 400}}`);

  expect(problemsOf(`jobs:\n${jobs.join("\n")}`)).toEqual([
    expect.stringMatching(/needs go in a circle: j0 → j1 → .* → j7 → … → j0$/),
  ]);
});

test("bad-26: a parent that is missing is refused, with the name that was meant", () => {
  expect(problemsOf("jobs: {build: {run: x}, test: {run: x, needs: [biuld]}}")).toEqual([
    '1:48 jobs.test.needs[0]: there is no job "biuld" (did you mean build?)',
  ]);
});

test("bad-26: two jobs of one name are refused", () => {
  expect(problemsOf("jobs:\n  a: {run: x}\n  a: {run: y}\n")).toEqual([
    '3:3 jobs.a: "a" is given twice (leave one of them)',
  ]);
});

test("bad-26: ten thousand jobs are refused at once by a stated limit", () => {
  const jobs = Array.from({ length: 10_000 }, (_, i) => `  j${i}: {}`);
  const start_ms = performance.now();

  const problems = problemsOf(`jobs:\n${jobs.join("\n")}`);

  expect(problems).toEqual(["2:3 jobs: 10,000 of them: the limit is 500 jobs of a file"]);
  expect(performance.now() - start_ms).toBeLessThan(20_000);
});

test("bad-26: names such as constructor are names like any other, and __proto__ is none", () => {
  const pipeline = pipelineOf(`jobs:
  constructor: {run: x, outputs: [toString]}
  hasOwnProperty:
    needs: constructor
    run: x
    env: {valueOf: "\${{ needs.constructor.outputs.toString }}"}
`);
  const needs = [ended("constructor", "succeeded", { outputs: { toString: "1" } })];

  expect(planOf(pipeline).jobs.map(({ name }) => name)).toEqual(["constructor", "hasOwnProperty"]);
  expect(evaluate(pipeline, "hasOwnProperty", { needs })).toMatchObject({
    kind: "run",
    job: { env: { valueOf: "1" } },
  });
  for (const text of [
    "jobs: {__proto__: {run: x}}",
    "jobs: {a: {run: x, env: {__proto__: x}}}",
    "inputs: {__proto__: {}}\njobs: {a: {run: x}}",
  ])
    expect(problemsOf(text)).toEqual([expect.stringContaining('"__proto__" is not the name of')]);
});

test("bad-26: an expression sees own members only", () => {
  for (const path of ["inputs.constructor", "env.__proto__", "needs.toString.state", "matrix.hasOwnProperty"])
    expect(
      problemsOf(`jobs: {b: {run: x}, a: {run: x, needs: b, matrix: {os: [a]}, env: {A: "\${{ ${path} }}"}}}`),
    ).toHaveLength(1);
  const pipeline = pipelineOf(
    'jobs: {a: {run: x, env: {A: "[${{ run.event.constructor.name }}${{ run.event.__proto__ }}]"}}}',
  );
  const run = { number: 1, attempt: 1, ref: "", commit: "", trigger: "", event: {} };

  expect(evaluate(pipeline, "a", { run })).toMatchObject({ kind: "run", job: { env: { A: "[]" } } });
});

test("more dependencies between jobs than a run may have are refused before they are made", () => {
  const values = `[${Array.from({ length: 240 }, (_, i) => i).join(", ")}]`;
  const jobs = ["a", "b", "c"].map(
    (name, i, all) => `  ${name}: {run: x, matrix: {n: ${values}}, needs: ${i === 0 ? "[]" : all[i - 1]}}`,
  );

  expect(problemsOf(`jobs:\n${jobs.join("\n")}`)).toEqual([
    "1:1 jobs: 115,200 dependencies between jobs: the limit is 50,000 dependencies between the jobs of a run (let a job without a matrix stand between two with large ones)",
  ]);
});
