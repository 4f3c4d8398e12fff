import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { expect, test } from "vitest";

const root = resolve(import.meta.dirname, "../..");

/** The folders of the repository: what begins with one of them, in code font, is a path that must exist. */
const folders = /^(?:bench|cli|demo|docs|overlay|pipelines|proto|runner|scripts|server|test|wire)\/[\w./-]*$/;

async function listPages(): Promise<string[]> {
  const inDocs = await readdir(join(root, "docs"), { recursive: true });
  const pages = inDocs.filter((name) => name.endsWith(".md")).map((name) => join("docs", name));
  return ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", ...pages];
}

/** The text without blocks of code, in which neither links nor paths are meant. */
async function readProse(page: string): Promise<string> {
  return (await readFile(join(root, page), "utf8")).replaceAll(/^```[^]*?^```/gm, "");
}

test("every link between documents leads to a file", async () => {
  const broken: string[] = [];
  for (const page of await listPages()) {
    const prose = (await readProse(page)).replaceAll(/`[^`\n]*`/g, "");
    for (const [, target = ""] of prose.matchAll(/\]\(([^)#\s]+)(?:#[^)\s]*)?\)/g)) {
      if (/^https?:/.test(target)) continue;
      if (!existsSync(join(root, dirname(page), target))) broken.push(`${page}: ${target}`);
    }
  }

  expect(broken).toEqual([]);
});

test("every path that a document names exists", async () => {
  const broken: string[] = [];
  for (const page of await listPages()) {
    for (const [, path = ""] of (await readProse(page)).matchAll(/`([^`\n]+)`/g)) {
      if (folders.test(path) && !existsSync(join(root, path))) broken.push(`${page}: ${path}`);
    }
  }

  expect(broken).toEqual([]);
});

test("every invariant is named by a test that proves it", async () => {
  const page = await readFile(join(root, "ARCHITECTURE.md"), "utf8");
  const files = (await readdir(join(root, "test"), { recursive: true })).filter((name) => name.endsWith(".ts"));
  const sources = await Promise.all(files.map((name) => readFile(join(root, "test", name), "utf8")));

  const invariants = [...page.matchAll(/^\| (I\d+) \|/gm)].map(([, number = ""]) => number);
  const unproved = invariants.filter((number) => {
    const naming = new RegExp(String.raw`["\`](?:(?:I\d+|bad-\d\d), )*${number}\b(?:, bad-\d\d)*: `);
    return !sources.some((source) => naming.test(source));
  });

  expect(invariants).toHaveLength(14);
  expect(unproved).toEqual([]);
});

test("every file that is said to uphold an invariant cites its number", async () => {
  const page = await readFile(join(root, "ARCHITECTURE.md"), "utf8");
  const silent: string[] = [];
  for (const [, number = "", files = ""] of page.matchAll(/^\| (I\d+) \|.*\| ([^|]*) \|$/gm)) {
    for (const [, path = ""] of files.matchAll(/`([\w./-]+\.ts)`/g)) {
      const source = await readFile(join(root, path), "utf8");
      if (!new RegExp(String.raw`\b${number}\b`).test(source)) silent.push(`${number}: ${path}`);
    }
  }

  expect(silent).toEqual([]);
});
