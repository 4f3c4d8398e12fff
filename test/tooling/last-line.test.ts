import { spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { afterEach, expect, test } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const directories: string[] = [];
const head = 'import { expect, test } from "vitest";\n';
const passing = `${head}test("one is one", () => expect(1).toBe(1));\n`;
const mixed = `${passing}test("one is two", () => expect(1).toBe(2));\ntest.skip("one is three", () => expect(1).toBe(3));\n`;

afterEach(async () => {
  for (const directory of directories.splice(0)) await rm(directory, { recursive: true, force: true });
});

test("the last line counts what passed, failed and was skipped", async () => {
  expect(await runTests({ "mixed.test.ts": mixed })).toEqual({ code: 1, lastLine: "1 passed, 1 failed, 1 skipped" });
});

test("a run without failures ends with 0", async () => {
  expect(await runTests({ "passing.test.ts": passing })).toEqual({
    code: 0,
    lastLine: "1 passed, 0 failed, 0 skipped",
  });
});

test("a file that does not load counts as a failure", async () => {
  const files = { "passing.test.ts": passing, "broken.test.ts": 'import "./nowhere.ts";\n' };

  expect(await runTests(files)).toEqual({ code: 1, lastLine: "1 passed, 1 failed, 0 skipped" });
});

test("a stray rejection counts as a failure", async () => {
  const stray = `${head}test("leaves a promise", () => void Promise.reject(new Error("stray")));\n`;

  expect(await runTests({ "stray.test.ts": stray })).toEqual({ code: 1, lastLine: "1 passed, 1 failed, 0 skipped" });
});

test("arguments choose the files that run", async () => {
  const files = { "chosen.test.ts": passing, "other.test.ts": mixed };

  expect(await runTests(files, ["test/chosen"])).toEqual({ code: 0, lastLine: "1 passed, 0 failed, 0 skipped" });
});

/** Runs `files` as the tests of a project with this project's test set-up. */
async function runTests(
  files: Record<string, string>,
  args: string[] = [],
): Promise<{ code: number; lastLine: string }> {
  const directory = await mkdtemp(join(tmpdir(), "agyn-last-line-"));
  directories.push(directory);
  await mkdir(join(directory, "test/support"), { recursive: true });
  for (const file of ["vitest.config.ts", "test/support/reporter.ts", "test/support/sequencer.ts"])
    await cp(join(root, file), join(directory, file));
  await symlink(join(root, "node_modules"), join(directory, "node_modules"));
  await writeFile(join(directory, "package.json"), '{ "type": "module" }\n');
  for (const [name, source] of Object.entries(files)) await writeFile(join(directory, "test", name), source);
  const vitest = join(root, "node_modules/vitest/vitest.mjs");
  const child = spawn(process.execPath, [vitest, "run", ...args], {
    cwd: directory,
    stdio: ["ignore", "pipe", "ignore"],
  });
  const [output, [code]] = await Promise.all([text(child.stdout), once(child, "close") as Promise<[number]>]);
  return { code, lastLine: output.trimEnd().split("\n").at(-1) ?? "" };
}
