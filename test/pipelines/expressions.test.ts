import { performance } from "node:perf_hooks";
import { expect, test } from "vitest";
import { ended, evaluate, oneJob, pipelineOf, problemsOf, toLine } from "./support.ts";

const top = `inputs:
  name: {}
  count: {type: number}
  dry: {type: boolean}
  target: {choices: [staging, production]}
env: {ROOT: "/srv"}
`;
const event = { title: "it's", labels: ["bug", "ui"], deep: { n: 1 }, none: null };
const run = { number: 7, attempt: 2, ref: "main", commit: "c0ffee", trigger: "push", event };
const inputs = { name: "ada", count: 3, dry: false, target: "staging" };

/** What `${{ expression }}` becomes, or the problem with it. */
function valueOf(expression: string): string {
  const text = `${top}jobs:
  build: {run: x, outputs: [tag]}
  one:
    run: x
    needs: build
    matrix: {os: [linux]}
    env:
      VALUE: |-
        \${{ ${expression} }}
`;
  const needs = [ended("build", "succeeded", { outputs: { tag: "v1" } })];
  const evaluation = evaluate(pipelineOf(text), "one (linux)", { inputs, run, needs });
  if (evaluation.kind === "run") return evaluation.job.env["VALUE"] ?? "";
  return evaluation.kind === "skip" ? "skipped" : evaluation.problems.map(toLine).join("\n");
}

const values: [expression: string, value: string][] = [
  ["'text'", "text"],
  ['"it\'s"', "it's"],
  ["'it''s'", "it's"],
  ["'}}'", "}}"],
  ["-1.50", "-1.5"],
  ["true", "true"],
  ["null", ""],
  ["inputs.name", "ada"],
  ["inputs.count", "3"],
  ["matrix.os", "linux"],
  ["needs.build.state", "succeeded"],
  ["needs.build.outputs.tag", "v1"],
  ["env.ROOT", "/srv"],
  ["run.number", "7"],
  ["run.event.deep.n", "1"],
  ["run.event.deep.none.at.all", ""],
  ["run.event.labels.length", ""],
  ["inputs.count >= 3 && inputs.count < 4", "true"],
  ["inputs.count == 3 || inputs.dry", "true"],
  ["!inputs.dry", "true"],
  ["!(inputs.count > 5)", "true"],
  ["inputs.dry && 'yes' || 'no'", "no"],
  ["run.event.none || 'else'", "else"],
  ["inputs.target != 'production'", "true"],
  ["run.event.deep.n == '1'", "false"],
  ["contains('abcabd', 'abd')", "true"],
  ["contains(run.event.labels, 'ui')", "true"],
  ["contains(run.event.labels, 'u')", "false"],
  ["starts_with(run.ref, 'ma')", "true"],
  ["ends_with(run.ref, 'ma')", "false"],
  ["format('{1}-{0}{{}}', inputs.name, inputs.count)", "3-ada{}"],
  ["join(run.event.labels, ' + ')", "bug + ui"],
  ["to_json(run.event.deep)", '{"n":1}'],
];

test.each(values)("%s is %s", (expression, value) => {
  expect(valueOf(expression)).toBe(value);
});

const failing: [expression: string, problem: string][] = [
  ["run.event.deep", "jobs.one.env.VALUE: an object is not text (name one of its members, or use join() or to_json())"],
  ["format('{1}', 'a')", "jobs.one.env.VALUE: format has no value for {1}"],
  ["format('{', 'a')", "jobs.one.env.VALUE: a single { in a format (a brace is written {{)"],
  ["run.event.title > 3", "jobs.one.env.VALUE: > compares a number, not text"],
  [
    "run.event.labels == 'bug'",
    "jobs.one.env.VALUE: == compares text or a number or true or false or null, not a list",
  ],
];

test.each(failing)("%s is a problem of the job once it is evaluated", (expression, problem) => {
  expect(valueOf(expression)).toBe(problem);
});

const refused: [expression: string, problem: string][] = [
  ["", 'expected a value, found "}}"'],
  ["inputs.", 'expected a name, found "}}"'],
  ["inputs.nam", 'unknown input "nam" (did you mean name?)'],
  ["inputs", "inputs is not a value (name a member: inputs.<name>)"],
  ["inputs.name.first", "inputs.name has no members"],
  ["matrix.so", 'unknown matrix axis "so" (did you mean os?)'],
  ["needs.biuld.state", '"biuld" is not among the job\'s needs (did you mean build?)'],
  ["needs.build.outputs.tga", 'build does not declare the output "tga" (did you mean tag?)'],
  ["needs.build", "expected needs.build.state or needs.build.outputs.<name>"],
  ["env.ROT", 'unknown variable "ROT" (did you mean ROOT?)'],
  ["run.sha", 'unknown field of run "sha"'],
  ["github.sha", 'unknown name "github" (did you mean run?)'],
  ["secrets.TOKEN", "secrets are not resolved in texts (list it under the job's `secrets`"],
  ["success", "success is a function (write success())"],
  ["success()", "success() has a meaning in `if` only"],
  ["startsWith('a', 'b')", 'unknown function "startsWith" (did you mean starts_with?)'],
  ["contains('a')", "contains takes 2 values, not 1 (write contains(where, what))"],
  ["starts_with(1, 'b')", "starts_with takes text here, not a number"],
  ["inputs.count == '3'", "compares a number with text, which are never equal"],
  ["inputs.name < 'b'", "< compares a number, not text"],
  ["inputs.target == 'prod'", 'inputs.target is never "prod" (did you mean production?)'],
  ["matrix.os == 'mac'", 'matrix.os is never "mac" (there is linux)'],
  ["needs.build.state == 'success'", 'needs.build.state is never "success" (did you mean succeeded?)'],
  ["inputs.name && 'a'", "is text: expected true or false (compare it: … == 'true', or … != '')"],
  ["1 == 1 == 1", "compares twice in a row (join two comparisons with &&)"],
  ["inputs.name = 'a'", 'expected }}, or an operator, found "=" (equal is ==)'],
  ["'a' + 'b'", "texts are put together with format()"],
  ["inputs['name']", "a member is written with a dot"],
  ["'a", "the quote ' is not closed"],
  ["(1", 'expected ")", or an operator, found'],
];

test.each(refused)("%s is refused before a run: %s", (expression, problem) => {
  expect(valueOfProblem(expression)).toContain(problem);
});

function valueOfProblem(expression: string): string {
  try {
    return valueOf(expression);
  } catch (error) {
    return error instanceof Error ? error.message : "";
  }
}

test("a condition must be able to be false", () => {
  const jobs = "jobs:\n  a: {run: x, outputs: [go]}\n  b:\n    run: x\n    needs: a\n    if: needs.a.outputs.go\n";
  expect(problemsOf(jobs)).toEqual([
    "6:9 jobs.b.if: is text: expected true or false (compare it: … == 'true', or … != '')",
  ]);
});

test("bad-33: there are no patterns to explode, and what is looked for is found in one pass", () => {
  const ref = "a".repeat(30_000);
  const text = oneJob(`env: {A: "\${{ contains(run.ref, '${"a".repeat(2000)}b') }}"}`);
  const start_ms = performance.now();

  const evaluation = evaluate(pipelineOf(text), "one", { run: { ...run, ref } });

  expect(evaluation).toMatchObject({ kind: "run", job: { env: { A: "false" } } });
  expect(performance.now() - start_ms).toBeLessThan(20_000);
  expect(problemsOf(oneJob("if: matches(run.ref, '(a+)+$')"))).toEqual([expect.stringContaining("unknown function")]);
});

test("bad-33: an expression of too many terms, too deep, or of too much work is refused", () => {
  const terms = Array.from({ length: 100_000 }, () => "true").join(" && ");
  const calls = Array.from({ length: 60 }, () => "contains(run.ref, 'b')").join(" || ");

  expect(problemsOf(oneJob(`if: ${terms}`)).join()).toContain("the file is too long");
  expect(problemsOf(oneJob(`if: ${terms.slice(0, 5000)}`)).join()).toContain(
    "the limit is 4,096 characters of an expression",
  );
  expect(problemsOf(oneJob(`if: ${"(".repeat(1000)}`)).join()).toContain("the limit is 32 levels");
  const evaluation = evaluate(pipelineOf(oneJob(`if: ${calls}`)), "one", { run: { ...run, ref: "a".repeat(30_000) } });
  expect(evaluation).toMatchObject({ kind: "problems", problems: [{ path: "jobs.one.if" }] });
  expect(evaluation.kind === "problems" && evaluation.problems[0]?.message).toContain("too much work");
});

test("bad-33: a text that expressions blow up is refused", () => {
  const words = `env: {A: "\${{ format('{0}{0}{0}{0}{0}{0}{0}{0}{0}', run.ref) }}"}`;

  const evaluation = evaluate(pipelineOf(oneJob(words)), "one", { run: { ...run, ref: "a".repeat(8000) } });

  expect(evaluation).toMatchObject({ kind: "problems", problems: [{ path: "jobs.one.env.A" }] });
});
