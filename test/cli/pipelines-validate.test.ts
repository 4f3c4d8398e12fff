import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { run, type Ran } from "./support/terminal.ts";

let directory: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "agyn-validate-"));
  writeFileSync(join(directory, "good.yaml"), "jobs: {test: {run: make, matrix: {n: [1, 2]}}}\n");
  writeFileSync(join(directory, "bad.yaml"), "jobs:\n  test:\n    rnu: make\n    timeout: 5\n");
  writeFileSync(join(directory, "build.sh"), "make\n");
  writeFileSync(join(directory, "latin.sh"), Buffer.from("echo caf\xe9\n", "latin1"));
  writeFileSync(join(directory, "huge.yaml"), "#".repeat(262_145));
});

afterAll(() => rmSync(directory, { recursive: true, force: true }));

function validate(...words: string[]): Promise<Ran> {
  return run(["pipelines", "validate", ...words], { cwd: directory });
}

test("files that are right are said to be, and nobody is asked", async () => {
  expect(await validate("good.yaml", "build.sh")).toEqual({
    exitCode: 0,
    stdout: "good.yaml: ok, 2 jobs\nbuild.sh: ok, a script\n",
    stderr: "",
  });
});

test("a file whose bytes are no UTF-8 is refused, and not read as something else", async () => {
  expect(await validate("latin.sh")).toMatchObject({
    exitCode: 2,
    stderr: expect.stringMatching(/^error: .*latin\.sh is not text in UTF-8\n$/),
  });
});

test("every problem of every file is shown with its place, and the exit code is 1", async () => {
  const { exitCode, stdout } = await validate("bad.yaml", "good.yaml");

  expect(exitCode).toBe(1);
  expect(stdout.split("\n")).toEqual([
    "bad.yaml:2:3: jobs.test: `run` is missing in a job",
    'bad.yaml:3:5: jobs.test.rnu: unknown word "rnu" in a job (did you mean run?)',
    'bad.yaml:4:14: jobs.test.timeout: "5" is not a duration such as 90s, 10m or 2h (with a unit: 5s or 5m)',
    "good.yaml: ok, 2 jobs",
    "",
  ]);
});

test("machines read the same as JSON", async () => {
  const { exitCode, stdout } = await validate("bad.yaml", "good.yaml", "-o", "json");

  expect(exitCode).toBe(1);
  expect(JSON.parse(stdout)).toMatchObject([
    { file: "bad.yaml", valid: false, problems: [{ line: 2, column: 3, path: "jobs.test" }, { line: 3 }, { line: 4 }] },
    { file: "good.yaml", valid: true, kind: "yaml", jobs: ["test"], problems: [] },
  ]);
});

test("a file that is not there, one beyond the limit, and none at all are errors of the command line", async () => {
  expect(await validate("none.yaml")).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("cannot read") });
  expect(await validate("huge.yaml")).toMatchObject({
    exitCode: 2,
    stderr: expect.stringContaining("is longer than 262144 bytes"),
  });
  expect(await validate()).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("no file is given") });
});
