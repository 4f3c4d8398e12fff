import { performance } from "node:perf_hooks";
import { expect, test } from "vitest";
import { pipelineOf, planOf, problemsOf } from "./support.ts";

function namesOf(matrix: string): string[] {
  return planOf(pipelineOf(`jobs: {test: {run: x, matrix: ${matrix}}}`)).jobs.map(({ name }) => name);
}

const expanded: [what: string, matrix: string, names: string[]][] = [
  ["an axis", "{os: [linux, mac]}", ["test (linux)", "test (mac)"]],
  ["two axes", "{os: [l, m], node: [20, 22]}", ["test (l, 20)", "test (l, 22)", "test (m, 20)", "test (m, 22)"]],
  [
    "what is excluded",
    "{os: [l, m], n: [1, 2], exclude: [{os: m, n: 1}]}",
    ["test (l, 1)", "test (l, 2)", "test (m, 2)"],
  ],
  ["a whole value excluded", "{os: [l, m], n: [1, 2], exclude: [{os: m}]}", ["test (l, 1)", "test (l, 2)"]],
  ["a value for one cell", "{os: [l, m], include: [{os: m, x: true}]}", ["test (l)", "test (m, true)"]],
  ["a value for all cells", "{os: [l, m], include: [{x: 1}]}", ["test (l, 1)", "test (m, 1)"]],
  ["a cell of its own", "{os: [l], include: [{os: w, x: 1}]}", ["test (l)", "test (w, 1)"]],
  ["cells alone", "{include: [{os: l}, {os: m}]}", ["test (l)", "test (m)"]],
  [
    "values that look alike",
    '{a: ["1, 2", "1"], b: ["3", "2, 3"]}',
    ["test (1, 2, 3)", "test (1, 2, 2, 3)", "test (1, 3)", "test (1, 2, 3) #2"],
  ],
];

test.each(expanded)("a matrix makes jobs of %s", (_what, matrix, names) => {
  expect(namesOf(matrix)).toEqual(names);
});

test("each cell of a needed matrix is waited for", () => {
  const plan = planOf(
    pipelineOf("jobs: {a: {run: x, matrix: {n: [1, 2]}}, b: {run: x, needs: a, matrix: {m: [3, 4]}}}"),
  );

  expect(plan.jobs.map(({ name, needs, matrix }) => [name, needs, matrix])).toEqual([
    ["a (1)", [], { n: 1 }],
    ["a (2)", [], { n: 2 }],
    ["b (3)", ["a (1)", "a (2)"], { m: 3 }],
    ["b (4)", ["a (1)", "a (2)"], { m: 4 }],
  ]);
});

test("a planned job's name is bounded, and still its own", () => {
  const long = "x".repeat(128);
  const names = namesOf(
    `{a: [${long}1, ${long}2], b: [${long}]}`
      .replaceAll(`${long}1`, long.slice(1))
      .replaceAll(`${long}2`, long.slice(2)),
  );

  expect(new Set(names).size).toBe(2);
  expect(Math.max(...names.map((name) => name.length))).toBeLessThanOrEqual(203);
});

const refused: [what: string, matrix: string, problem: string][] = [
  ["no axis", "{fail_fast: true}", "the matrix has no cells"],
  ["an axis without values", "{os: []}", "is empty: expected at least 1 of them"],
  ["a value twice", "{os: [1, '1']}", '"1" is twice on this axis'],
  [
    "a number that would change",
    "{v: [1.10]}",
    '1.10 would become 1.1 (as text it is written "1.10", as a number 1.1)',
  ],
  ["everything excluded", "{os: [a], exclude: [{os: a}]}", "the matrix has no cells (`exclude` leaves none)"],
  ["an exclusion of nothing", "{os: [a], exclude: [{os: b}]}", "excludes nothing"],
  [
    "an exclusion by what is no axis",
    "{os: [a], exclude: [{so: a}]}",
    'the matrix has no axis "so" (did you mean os?)',
  ],
  ["the same cell twice", "{include: [{a: 1}, {a: 1}]}", "adds a cell that is there already"],
  ["an expression", "{os: ['${{ inputs.a }}']}", "the cells of a matrix are known before the run"],
];

test.each(refused)("a matrix with %s is refused", (_what, matrix, problem) => {
  expect(problemsOf(`jobs: {test: {run: x, matrix: ${matrix}}}`).join("\n")).toContain(problem);
});

test("bad-27: a matrix of a million is refused before it is made", () => {
  const axis = `[${Array.from({ length: 100 }, (_, i) => i).join(", ")}]`;
  const start_ms = performance.now();

  const problems = problemsOf(`jobs: {test: {run: x, matrix: {a: ${axis}, b: ${axis}, c: ${axis}}}}`);

  expect(problems).toEqual([
    "1:31 jobs.test.matrix: 100 × 100 × 100 = 1,000,000 cells: the limit is 256 cells of a matrix, before `exclude` and after `include`",
  ]);
  expect(performance.now() - start_ms).toBeLessThan(20_000);
});

test("bad-27: matrices that together make more jobs than a run may have are refused", () => {
  const axis = `[${Array.from({ length: 250 }, (_, i) => i).join(", ")}]`;
  const jobs = Array.from({ length: 5 }, (_, i) => `  j${i}: {run: x, matrix: {n: ${axis}}}`).join("\n");

  expect(problemsOf(`jobs:\n${jobs}`)).toEqual([
    "1:1 jobs: 1,250 jobs with those of all matrices: the limit is 1,000 jobs of a run: the cells of all matrices",
  ]);
});
