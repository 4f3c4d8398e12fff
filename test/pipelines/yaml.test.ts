import { expect, test } from "vitest";
import { pipelineOf, problemsOf } from "./support.ts";

test("an alias stands for the whole value that it names", () => {
  const pipeline = pipelineOf(`jobs:
  a: {run: make, env: &common {CI: "1"}}
  b: {run: make, env: *common}
`);

  expect(pipeline.jobs.map(({ env }) => env)).toEqual([{ CI: "1" }, { CI: "1" }]);
});

test("aliases that stand for millions of values are refused, and so is one of itself", () => {
  const bomb = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"];
  for (let level = 1; level < 12; level++)
    bomb.push(`a${level}: &a${level} [${Array.from({ length: 10 }, () => `*a${level - 1}`).join(", ")}]`);

  expect(problemsOf(bomb.join("\n"))).toEqual([
    expect.stringContaining("too much in one file: the limit is 20,000 values"),
  ]);
  expect(problemsOf("jobs: &j {a: *j}")).toContainEqual(expect.stringContaining("too deep: the limit is 32 levels"));
});

const refused: [what: string, text: string, problem: string][] = [
  ["an empty file", "", "1:1 the file is empty (a pipeline has at least `jobs`)"],
  ["comments alone", "# later\n", "1:1 the file is empty (a pipeline has at least `jobs`)"],
  ["a second document", "jobs: {a: {run: x}}\n---\njobs: {}\n", "2:1 a second document: a file holds one pipeline"],
  ["a list", "- a\n", "1:1 is a list: expected a map of name, inputs, env, timeout, …"],
  ["no jobs", "jobs: {}\n", "1:1 there are no jobs"],
  [
    "a tag",
    "jobs: {a: {run: !!str x}}",
    '1:23 jobs.a.run: the tag "tag:yaml.org,2002:str": no tags are used here (put the value in quotes where it is text)',
  ],
  ["an alias of nothing", "jobs: *a", "1:7 jobs: nothing before this is anchored as &a"],
  ["a merge key", "x: &x {}\njobs: {a: {<<: *x, run: y}}", '2:12 jobs.a["<<"]: merge keys (<<) are not used here'],
  ["a key that is a list", "? [a]\n: b\njobs: {a: {run: x}}", "1:3 a key that is no text"],
  ["a quote that is not closed", 'jobs: "a', '1:9 not YAML: Missing closing "quote'],
  ["a tab as indentation", "jobs:\n\ta: b", "not YAML: Tabs are not allowed as indentation"],
  ["a NUL", "jobs: {a: {run: x\0}}", "1:18 holds a NUL character"],
  ["values within values without end", "[".repeat(200_000), "1:1 too deep: the limit is 32 levels of values in a file"],
];

test.each(refused)("%s is refused with its place", (_what, text, problem) => {
  expect(problemsOf(text).join("\n")).toContain(problem);
});

test("lines and columns count as editors do, whichever line ends there are", () => {
  for (const end of ["\n", "\r\n"])
    expect(problemsOf(["jobs:", "  a:", "    run: x", "    nedes: b", ""].join(end))).toEqual([
      '4:5 jobs.a.nedes: unknown word "nedes" in a job (did you mean needs?)',
    ]);
});

test("an expression's place is found in texts of several lines", () => {
  const text = "jobs:\n  a:\n    run: x\n    env:\n      A: |\n        one\n        two ${{ inputs.b }}\n";
  expect(problemsOf(text)).toEqual(['7:17 jobs.a.env.A: unknown input "b" (there are none)']);
});
