import { expect, test } from "vitest";
import { parsePipeline } from "../../pipelines/parse-pipeline.ts";
import { oneJob, pipelineOf, problemsOf } from "./support.ts";

test("a pipeline that says no more than it must is plain data with every default", () => {
  const pipeline = pipelineOf("jobs:\n  build:\n    run: make\n", "ci/nightly.yaml");

  expect(JSON.parse(JSON.stringify(pipeline))).toEqual(pipeline);
  expect(pipeline).toMatchObject({ version: 1, kind: "yaml", name: "nightly", inputs: [], env: {}, timeout_ms: null });
  expect(pipeline.jobs).toMatchObject([
    {
      name: "build",
      needs: [],
      if: null,
      matrix: null,
      priority: 0,
      command: { kind: "script", text: "make", shell: "sh" },
    },
  ]);
});

const everyWord = `container: node:26
secrets: {NPM_TOKEN: NPM}
timeout: 1h30m
queue_timeout: 10m
lost_after: never
priority: -5
retries: {max: 3, on: [lost], backoff: 10s, backoff_max: 2m}
concurrency: deploy
outputs: [version]
requires:
  labels: [{key: agyn/cpus, operator: greater, values: 4}]
  capabilities: [docker]
  executor: process
  resources: {slots: 2}
  prefer: [{key: zone, values: a, weight: 10}]
artifacts:
  upload: [{name: dist, paths: [dist/**, a.txt], retention: 7d}]
`;

test("every word of a job arrives", () => {
  const [job] = pipelineOf(oneJob(everyWord)).jobs;

  expect(job).toMatchObject({
    container: "node:26",
    secrets: { NPM_TOKEN: "NPM" },
    timeout_ms: 5_400_000,
    queueTimeout_ms: 600_000,
    lostAfter_ms: "never",
    priority: -5,
    retries: { max: 3, on: ["lost"], backoff_ms: 10_000, maximumBackoff_ms: 120_000 },
    concurrency: { group: "deploy", limit: 1, onConflict: "wait" },
    outputs: ["version"],
    artifacts: { upload: [{ name: "dist", paths: ["dist/**", "a.txt"], retention_ms: 604_800_000 }], download: [] },
  });
  expect(job?.requires).toEqual({
    labels: [{ key: "agyn/cpus", operator: "greater", values: ["4"] }],
    capabilities: ["docker"],
    executor: "process",
    resources: { slots: 2 },
    prefer: [{ requirement: { key: "zone", operator: "in", values: ["a"] }, weight: 10 }],
  });
});

test("texts stay as they are written: a version is no number", () => {
  expect(pipelineOf(oneJob("", "env: {VERSION: 1.10, ON: yes, HEX: 0x10}\n")).env).toEqual({
    VERSION: "1.10",
    ON: "yes",
    HEX: "0x10",
  });
});

test("all problems of a file are reported at once, in the order of the file", () => {
  const text = `nam: x
jobs:
  build:
    runs-on: ubuntu
    run: [make, 5]
    needs: [biuld]
    timeout: 10
  test:
    if: needs.build.state == 'success'
    env: {A: "x \${{ inputs.b }}"}
`;
  expect(problemsOf(text)).toEqual([
    '1:1 nam: unknown word "nam" in a pipeline (did you mean name?)',
    '4:5 jobs.build.runs-on: unknown word "runs-on" in a job (did you mean requires?)',
    '6:13 jobs.build.needs[0]: there is no job "biuld" (did you mean build?)',
    '7:14 jobs.build.timeout: "10" is not a duration such as 90s, 10m or 2h (with a unit: 10s or 10m)',
    "8:3 jobs.test: `run` is missing in a job",
    "9:9 jobs.test.if: needs has no value here (the job has no needs)",
    '9:30 jobs.test.if: needs.build.state is never "success" (did you mean succeeded?)',
    '10:21 jobs.test.env.A: unknown input "b" (there are none)',
  ]);
});

const refused: [what: string, words: string, problem: string][] = [
  ["a wrong type", "run: {a: b}", "3:10 jobs.a.run: is a map: expected a script, or a list, each a word"],
  ["a duplicate word", "run: x\n    run: y", '4:5 jobs.a.run: "run" is given twice (leave one of them)'],
  ["nothing where text is meant", "run: ", 'jobs.a.run: is empty (an empty text is ""): expected a script'],
  ["a shell that is none", "run: x\n    shell: zsh", '"zsh" is not one of sh, bash, node, python3'],
  ["a shell for words", "run: [x]\n    shell: sh", "they are executed without one: leave `shell` out"],
  [
    "a path that climbs",
    "run: x\n    artifacts: {upload: [{name: a, paths: ../b}]}",
    '"../b" is not a path inside the workspace',
  ],
  [
    "an absolute path",
    "run: x\n    artifacts: {upload: [{name: a, paths: /etc}]}",
    '"/etc" is not a path inside the workspace',
  ],
  [
    "an artifact's name that climbs",
    "run: x\n    artifacts: {upload: [{name: ../a, paths: b}]}",
    '"../a" is not the name of an artifact',
  ],
  [
    "two artifacts of a name",
    "run: x\n    artifacts: {upload: [{name: a, paths: b}, {name: a, paths: c}]}",
    '"a" is uploaded twice',
  ],
  [
    "two artifacts that differ by case",
    "run: x\n    artifacts: {upload: [{name: a, paths: b}, {name: A, paths: c}]}",
    '"A" and "a" are one on file systems that do not tell case apart (give each its own name)',
  ],
  [
    "an artifact that is a device",
    "run: x\n    artifacts: {upload: [{name: Con.txt, paths: b}]}",
    '"Con.txt" is the name of a device on Windows',
  ],
  ["a program without a name", 'run: ["", x]', "jobs.a.run: the first word is the program to start, and is empty"],
  [
    "an amount with a unit",
    "run: x\n    requires: {resources: {memory: 4GiB}}",
    'is "4GiB": expected an amount: a number from 0',
  ],
  ["a download of nobody's", "run: x\n    artifacts: {download: [a]}", 'no job before this one uploads "a"'],
  [
    "a container that is an option",
    "run: x\n    container: --privileged",
    '"--privileged" is not the image of a container',
  ],
  [
    "a variable of the runner's",
    "run: x\n    env: {AGYN_FENCE: 1}",
    '"AGYN_FENCE" is not the name of a variable that is free to set',
  ],
  ["a secret that a variable hides", "run: x\n    secrets: [A]\n    env: {A: b}", "A is also a secret of the job"],
  [
    "values for exists",
    "run: x\n    requires: {labels: [{key: gpu, operator: exists, values: a}]}",
    "exists takes no values",
  ],
  [
    "text for greater",
    "run: x\n    requires: {labels: [{key: m, operator: greater, values: big}]}",
    '"big" is not a decimal number',
  ],
  [
    "two numbers for less",
    "run: x\n    requires: {labels: [{key: m, operator: less, values: [1, 2]}]}",
    "less takes one number, not 2",
  ],
  [
    "a first wait beyond the longest",
    "run: x\n    retries: {max: 1, backoff: 2m, backoff_max: 1m}",
    "the longest wait is shorter",
  ],
  ["a name twice", "run: x\n    outputs: [v, v]", '"v" is listed twice'],
  ["a duration of years", "run: x\n    timeout: 400d", '"400d" is not from 1s to 30d'],
  ["a NUL", 'run: "a\\0b"', "holds a NUL character"],
  ["half a surrogate pair", 'run: x\n    env: {A: "\\ud800"}', "holds half of a surrogate pair"],
];

test.each(refused)("%s is refused, with what was meant", (_what, words, problem) => {
  expect(problemsOf(`jobs:\n  a:\n    ${words}\n`).join("\n")).toContain(problem);
});

test("bad-29: a priority that is no number, negative zero, or beyond the bounds never arrives as such", () => {
  for (const priority of [".nan", ".inf", "9007199254740993", "1.5", "1001", '"5"', "true"])
    expect(problemsOf(oneJob(`priority: ${priority}`))).toEqual([
      expect.stringContaining("expected a whole number from -1000 to 1000"),
    ]);
  expect(Object.is(pipelineOf(oneJob("priority: -0")).jobs[0]?.priority, 0)).toBe(true);
});

test("a file beyond the limit is refused without being read", () => {
  expect(problemsOf(`# ${"x".repeat(262_144)}`)).toEqual([
    "1:1 the file is too long: the limit is 262,144 bytes of a file",
  ]);
  expect(problemsOf("é".repeat(131_073))).toEqual([expect.stringContaining("the file is too long")]);
});

test("a file with thousands of problems lists the first hundred, and how many more there are", () => {
  const parsed = parsePipeline(
    "ci.yaml",
    `jobs: {a: {run: x}}\n${Array.from({ length: 300 }, (_, i) => `x${i}: 1\n`).join("")}`,
  );

  expect("problems" in parsed && parsed.problems.length).toBe(101);
  expect("problems" in parsed && parsed.problems.at(-1)?.message).toBe("and 200 more problems: mend these first");
});
