import { expect, test } from "vitest";
import { planJobs } from "../../pipelines/plan-jobs.ts";
import type { JobContext, SkipCause } from "../../pipelines/pipeline.ts";
import { ended, evaluate, oneJob, pipelineOf, planOf, run } from "./support.ts";

function withCondition(condition: string | null): ReturnType<typeof pipelineOf> {
  const line = condition === null ? "" : `    if: ${condition}\n`;
  return pipelineOf(`jobs:\n  a: {run: x}\n  b: {run: x}\n  c:\n    run: x\n    needs: [a, b]\n${line}`);
}

const failed = [ended("a"), ended("b", "failed")];
const skippedAfterFailure = [ended("a"), ended("b", "skipped", { cause: "needs_failed" })];
const stopped = [ended("a"), ended("b", "cancelled")];
const skipped = [ended("a"), ended("b", "skipped", { cause: "condition" })];

type Decision = "runs" | SkipCause;
const decisions: [condition: string | null, context: Partial<JobContext>, decision: Decision][] = [
  [null, { needs: [ended("a"), ended("b")] }, "runs"],
  [null, { needs: failed }, "needs_failed"],
  [null, { needs: skippedAfterFailure }, "needs_failed"],
  [null, { needs: stopped }, "needs_cancelled"],
  [null, { needs: skipped }, "needs_skipped"],
  [null, { needs: [ended("a"), ended("b")], cancelled: true }, "needs_cancelled"],
  ["run.ref == 'main'", { needs: [ended("a"), ended("b")] }, "runs"],
  ["${{ run.ref == 'main' }}", { needs: [ended("a"), ended("b")] }, "runs"],
  ["run.ref == 'next'", { needs: [ended("a"), ended("b")] }, "condition"],
  ["run.ref == 'main'", { needs: failed }, "needs_failed"],
  ["failure()", { needs: failed }, "runs"],
  ["failure()", { needs: skippedAfterFailure }, "runs"],
  ["failure()", { needs: stopped }, "needs_cancelled"],
  ["failure()", { needs: [ended("a"), ended("b")] }, "condition"],
  ["cancelled()", { needs: stopped }, "runs"],
  ["cancelled()", { needs: [ended("a"), ended("b")], cancelled: true }, "runs"],
  ["always()", { needs: failed, cancelled: true }, "runs"],
  ["success() || failure()", { needs: skipped }, "needs_skipped"],
  ["always() && needs.b.state == 'skipped'", { needs: skipped }, "runs"],
];

test.each(decisions)("a job with the condition %s, after %j: %s", (condition, context, decision) => {
  const evaluation = evaluate(withCondition(condition), "c", context);

  expect(evaluation.kind === "skip" ? evaluation.cause : evaluation.kind.replace(/^run$/, "runs")).toBe(decision);
});

test("why a job is skipped is said in words", () => {
  const reasonOf = (condition: string | null, context: Partial<JobContext>): string => {
    const evaluation = evaluate(withCondition(condition), "c", context);
    return evaluation.kind === "problems" ? "" : evaluation.reason;
  };
  expect(reasonOf(null, { needs: failed })).toBe("of the jobs it needs: b failed");
  expect(reasonOf("run.ref == 'next'", { needs: [] })).toBe("its condition is false: \"run.ref == 'next'\"");
  expect(reasonOf(null, { cancelled: true })).toBe("the run is cancelled");
});

test("the jobs of a matrix count together: one that failed makes it failed", () => {
  const pipeline = pipelineOf(`jobs:
  a: {run: x, matrix: {n: [1, 2]}}
  b: {run: x, needs: a, if: always(), env: {A: "\${{ needs.a.state }}"}}
`);
  const needs = [ended("a"), ended("a", "failed")];

  expect(evaluate(pipeline, "b", { needs })).toMatchObject({ kind: "run", job: { env: { A: "failed" } } });
});

test("every text of a job is resolved with its cell, and its own variables win", () => {
  const pipeline = pipelineOf(`env: {WHERE: "r-\${{ run.number }}", KEPT: "1"}
jobs:
  one:
    run: make
    matrix: {os: [linux], cpus: [4]}
    env: {WHERE: "\${{ env.WHERE }}/\${{ matrix.os }}"}
    container: "build:\${{ matrix.os }}"
    concurrency: "deploy \${{ env.WHERE }}"
    requires: {labels: {os: "\${{ matrix.os }}"}, prefer: [{key: cpus, operator: greater, values: "\${{ matrix.cpus }}"}]}
    artifacts: {upload: [{name: "dist-\${{ matrix.os }}", paths: dist}]}
`);

  expect(evaluate(pipeline, "one (linux, 4)")).toMatchObject({
    kind: "run",
    job: {
      env: { WHERE: "r-7/linux", KEPT: "1" },
      container: "build:linux",
      concurrency: { group: "deploy r-7/linux", limit: 1, onConflict: "wait" },
      artifacts: { upload: [{ name: "dist-linux", paths: ["dist"] }] },
      requires: {
        labels: [{ key: "os", operator: "in", values: ["linux"] }],
        prefer: [{ requirement: { key: "cpus", operator: "greater", values: ["4"] }, weight: 1 }],
      },
    },
  });
});

test("the run's own concurrency group is resolved when it is planned", () => {
  const pipeline = pipelineOf(
    oneJob("", 'concurrency: {group: "ci-${{ run.ref }}", limit: 2, on_conflict: cancel_older}\n'),
  );

  expect(planOf(pipeline).concurrency).toEqual({ group: "ci-main", limit: 2, onConflict: "cancel_older" });
  expect(planJobs(pipeline, { inputs: {}, run: { ...run, ref: "a\nb" } })).toEqual({
    problems: [{ path: "concurrency", message: 'holds the control character "\\n"' }],
  });
});

test("a job that is planned, stored as JSON and read again evaluates to the same", () => {
  const pipeline = pipelineOf(oneJob('env: {A: "${{ matrix.n }}"}\nmatrix: {n: [1]}'));
  const stored: typeof pipeline = JSON.parse(JSON.stringify(pipeline));

  expect(evaluate(stored, "one (1)")).toEqual(evaluate(pipeline, "one (1)"));
});

const hostileRefs = [
  "$(id)",
  "`id`",
  ";id",
  "-upload-pack=x",
  "--",
  "../x",
  "a\nb",
  "\u202egnp",
  "x".repeat(4096),
  "'; exit 1; '",
];

test.each(hostileRefs)("bad-32: the ref %j reaches a script as the value of a variable, and in no other way", (ref) => {
  const pipeline = pipelineOf(oneJob('env: {REF: "${{ run.ref }}"}'));
  const evaluation = evaluate(pipeline, "one", { run: { ...run, ref } });

  expect(evaluation).toMatchObject({ kind: "run", job: { env: { REF: ref } } });
  expect(planOf(pipeline).jobs[0]?.definition.command).toEqual({ kind: "script", text: "make", shell: "sh" });
});

test.each(hostileRefs)("bad-32: the ref %j is no artifact's name and no image", (ref) => {
  const pipeline = pipelineOf(
    oneJob('container: "${{ run.ref }}"\nartifacts: {upload: [{name: "${{ run.ref }}", paths: a}]}'),
  );
  const evaluation = evaluate(pipeline, "one", { run: { ...run, ref } });

  expect(evaluation).toMatchObject({
    kind: "problems",
    problems: [{ path: "jobs.one.container" }, { path: "jobs.one.artifacts.upload[0]" }],
  });
});

test("bad-32: an expression in a script is refused, and the message says where it goes", () => {
  for (const command of ['"echo ${{ run.ref }}"', '[echo, "${{ run.ref }}"]'])
    expect(() => pipelineOf(`jobs: {one: {run: ${command}}}`)).toThrow(
      "${{ is not allowed: expressions are not resolved here (put the value in the job's `env`, and use the variable in the script)",
    );
});
