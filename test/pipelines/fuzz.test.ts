import fc from "fast-check";
import { expect, test } from "vitest";
import { parsePipeline } from "../../pipelines/parse-pipeline.ts";
import { planJobs } from "../../pipelines/plan-jobs.ts";
import { resolveInputs } from "../../pipelines/resolve-inputs.ts";
import { evaluateJob } from "../../pipelines/evaluate-job.ts";
import type { Pipeline, PlannedJob } from "../../pipelines/pipeline.ts";
import { ended, oneJob, run } from "./support.ts";

const rounds = 400;
const timeout_ms = 60_000;

/** Pieces of the grammar of expressions, and what does not belong there. */
const piece = fc.constantFrom(
  ..."inputs . name matrix needs env run event ref state outputs always() contains( format( join( to_json( ( ) , && || ! == != < >= 'a' 'x''y' \" 1 -2.5 true null }} ${{ __proto__ constructor # ✗".split(
    " ",
  ),
);
const expression = fc.array(piece, { maxLength: 14 }).map((pieces) => pieces.join(" "));

/** Words of the language as keys, where they belong and where they do not. */
const word = fc.constantFrom(
  ..."name inputs env jobs needs if matrix requires run shell container secrets timeout retries concurrency artifacts outputs include exclude labels capabilities upload download paths group limit type default choices a b __proto__ <<".split(
    " ",
  ),
);
const scalar = fc.oneof(
  fc.constantFrom("a", "b", "10m", "1.10", "linux", "${{ inputs.a }}", "${{", "../x", "never", "always()"),
  fc.string({ maxLength: 8, unit: "binary" }),
  fc.double(),
  fc.boolean(),
  fc.constant(null),
);
const { value } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 5, withCrossShrink: true },
    scalar,
    fc.array(tie("value"), { maxLength: 4 }),
    fc.array(fc.tuple(word, tie("value")), { maxLength: 6 }).map((entries) => Object.fromEntries(entries)),
  ),
}));

/** Goes all the way with what parses. */
function takeThrough(pipeline: Pipeline): void {
  expect(JSON.parse(JSON.stringify(pipeline))).toEqual(pipeline);
  const resolved = resolveInputs(pipeline, {});
  const inputs = "inputs" in resolved ? resolved.inputs : {};
  const plan = planJobs(pipeline, { inputs, run });
  const jobs: readonly PlannedJob[] = "jobs" in plan ? plan.jobs : [];
  expect(new Set(jobs.map(({ name }) => name)).size).toBe(jobs.length);
  for (const job of jobs) {
    const needs = job.needs.map((name) => ended(jobs.find((other) => other.name === name)!.key));
    expect(["run", "skip", "problems"]).toContain(
      evaluateJob(job, { inputs, run, env: pipeline.env, needs, cancelled: false }).kind,
    );
  }
}

function parse(path: string, text: string): void {
  const parsed = parsePipeline(path, text);
  if ("pipeline" in parsed) takeThrough(parsed.pipeline);
  else expect(parsed.problems.length).toBeGreaterThan(0);
}

test("any text is a pipeline or has problems, whatever its ending", { timeout: timeout_ms }, () => {
  const path = fc.constantFrom("a.yaml", "b.act", "c.sh", "", ".yml", "x/");
  const text = fc.oneof(
    fc.string({ maxLength: 300, unit: "binary" }),
    fc
      .array(
        fc.constantFrom(
          "- ",
          "? ",
          ": ",
          "[",
          "]",
          "{",
          "}",
          "&a ",
          "*a",
          "|",
          ">",
          "'",
          '"',
          "\n",
          "  ",
          "#",
          "a",
          "!!",
          "%",
        ),
      )
      .map((parts) => parts.join("")),
  );
  fc.assert(fc.property(path, text, parse), { numRuns: rounds });
});

test("any values under any words are a pipeline or have problems", { timeout: timeout_ms }, () => {
  fc.assert(
    fc.property(value, (words) => parse("a.yaml", JSON.stringify(words) ?? "")),
    { numRuns: rounds },
  );
  fc.assert(
    fc.property(value, (words) => parse("a.yaml", oneJob(`matrix: ${JSON.stringify(words)}`))),
    { numRuns: rounds },
  );
});

test("any expression is resolved, or has a problem", { timeout: timeout_ms }, () => {
  fc.assert(
    fc.property(expression, (source) => {
      const quoted = JSON.stringify(`x\${{ ${source} }}`);
      parse("a.yaml", oneJob(`env: {A: ${quoted}}\nif: ${JSON.stringify(source)}\nmatrix: {name: [1]}`));
    }),
    { numRuns: rounds },
  );
});

test(
  "a job that another version stored is evaluated without a throw, whatever its texts are",
  { timeout: timeout_ms },
  () => {
    const parsed = parsePipeline("a.yaml", oneJob(""));
    const [definition] = "pipeline" in parsed ? parsed.pipeline.jobs : [];
    fc.assert(
      fc.property(expression, expression, fc.jsonValue(), (condition, source, event) => {
        const stored = { ...definition!, if: condition, env: { A: `\${{ ${source} }}` }, container: source };
        const planned = { name: "one", key: "one", definition: stored, matrix: {}, needs: [] };
        const context = { inputs: {}, run: { ...run, event }, env: { B: source }, needs: [], cancelled: false };
        expect(["run", "skip", "problems"]).toContain(evaluateJob(planned, context).kind);
      }),
      { numRuns: rounds },
    );
  },
);

const long = (index: number): string => `n${index}`.padEnd(62, "abcdefghij".slice(index % 10));
const times = (count: number, line: (index: number) => string): string =>
  Array.from({ length: count }, (_, index) => line(index)).join("");
const short = (index: number): string => long(index).slice(0, 31);
const costly: [what: string, text: string][] = [
  [
    "thousands of needs that are unknown",
    `jobs:\n${times(499, (i) => `  ${long(i)}: {run: x, needs: [${i < 60 ? times(90, (k) => `z${short(i * 100 + k)}, `) : ""}]}\n`)}`,
  ],
  ["thousands of unknown words", times(7000, (i) => `${short(i)}: 1\n`)],
  [
    "thousands of faulty expressions in a text",
    oneJob(
      times(3, (i) => `  V${i}: "${"${{inputs.x}}".repeat(4900)}"\n`),
      "",
    ).replace("make\n", "make\n    env:\n"),
  ],
  ["nothing but brackets", "[{".repeat(100_000)],
  ["nothing but aliases", `a: &a b\n${"x: *a\n".repeat(40_000)}`],
];

// A minute is what a crowded machine needs for what takes a fraction of a second; what grows with a square takes far more.
test.each(costly)("%s are refused in bounded time", { timeout: timeout_ms }, (_what, text) => {
  const parsed = parsePipeline("a.yaml", text);

  expect("problems" in parsed && parsed.problems.length).toBeGreaterThan(0);
});
