import { execFile } from "node:child_process";
import { cp, mkdtemp, readFile, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, expect, test } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const fixtures = join(root, "test", "fixtures", "planted-faults");
const lintTimeout_ms = 60_000;
const directories: string[] = [];

afterEach(async () => {
  for (const directory of directories.splice(0)) await rm(directory, { recursive: true, force: true });
});

test("each planted fault is found on its line, and nothing else is", async () => {
  const tree = await plant("faulty");

  const found = await lint(tree);

  expect(found).toEqual(await listMarkedFaults(tree));
});

test("what every folder may do passes", async () => {
  const tree = await plant("clean");

  expect(await lint(tree)).toEqual([]);
});

test("a message says what to do instead", async () => {
  const tree = await plant("faulty");

  const messages = (await runLint(tree)).map((diagnostic) => `${diagnostic.message} ${diagnostic.help ?? ""}`);

  expect(messages.join("\n")).toContain("domain/ has no clock: take the time as an argument");
  expect(messages.join("\n")).toContain("reaches sessions/ and loops/ by the deps record");
});

test("a source passes with 300 lines of code and fails with 301", async () => {
  const tree = await plant("clean");
  const lines = (count: number): string =>
    Array.from({ length: count }, (_, i) => `export const n${i} = ${i};`).join("\n");
  await writeFile(join(tree, "wire", "full.ts"), lines(300));
  await writeFile(join(tree, "wire", "overfull.ts"), lines(301));

  const found = await lint(tree);

  expect(found.map((fault) => fault.replace(/:\d+ /, " "))).toEqual(["wire/overfull.ts eslint(max-lines)"]);
});

/** A copy of a fixture tree, standing where the project stands: with its lint rules and its packages. */
async function plant(name: string): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "agyn-fences-"));
  directories.push(directory);
  await cp(join(fixtures, name), directory, { recursive: true });
  for (const file of [".oxlintrc.json", "tsconfig.json"]) await cp(join(root, file), join(directory, file));
  await writeFile(join(directory, ".gitignore"), "node_modules\n");
  await symlink(join(root, "node_modules"), join(directory, "node_modules"));
  return directory;
}

interface Diagnostic {
  code: string;
  message: string;
  help?: string;
  filename: string;
  labels: { span: { line: number } }[];
}

async function runLint(tree: string): Promise<Diagnostic[]> {
  const folders = (await readdir(tree, { withFileTypes: true })).filter((entry) => entry.isDirectory());
  const args = [join(root, "node_modules/oxlint/bin/oxlint"), "--type-aware", "-f", "json"];
  const output = await new Promise<string>((settle) => {
    const options = { cwd: tree, timeout: lintTimeout_ms, maxBuffer: 16 * 1024 * 1024 };
    execFile(process.execPath, [...args, ...folders.map((entry) => entry.name)], options, (_, stdout) =>
      settle(stdout),
    );
  });
  return (JSON.parse(output) as { diagnostics: Diagnostic[] }).diagnostics;
}

/** What was found, as `path:line rule`, in order. */
async function lint(tree: string): Promise<string[]> {
  const diagnostics = await runLint(tree);
  return diagnostics.map(({ filename, labels, code }) => `${filename}:${labels[0]?.span.line ?? 0} ${code}`).sort();
}

/** A comment `fault: RULE` marks the next line that is not such a comment. */
async function listMarkedFaults(tree: string): Promise<string[]> {
  const faults: string[] = [];
  for (const entry of await readdir(tree, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !entry.name.endsWith(".ts")) continue;
    const path = join(entry.parentPath, entry.name);
    faults.push(...markedIn(await readFile(path, "utf8")).map((fault) => `${path.slice(tree.length + 1)}:${fault}`));
  }
  return faults.sort();
}

function markedIn(source: string): string[] {
  let rules: string[] = [];
  return source.split("\n").flatMap((line, index) => {
    const rule = /^\s*\/\/ fault: (\S+)$/.exec(line)?.[1];
    if (rule !== undefined) {
      rules.push(rule);
      return [];
    }
    const marked = rules.map((name) => `${index + 1} ${name}`);
    rules = [];
    return marked;
  });
}
