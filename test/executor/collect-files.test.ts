import { link, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { collectFiles, readFound } from "../../runner/src/executors/collect-files.ts";

async function openWorkspace(...paths: string[]): Promise<string> {
  const workspace = await mkdtemp(join(tmpdir(), "agyn-collect-"));
  onTestFinished(() => rm(workspace, { recursive: true }));
  for (const path of paths) {
    await mkdir(join(workspace, path, ".."), { recursive: true });
    await writeFile(join(workspace, path), path);
  }
  return workspace;
}

async function readAll(pieces: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const piece of pieces) all.push(piece);
  return Buffer.concat(all);
}

const tree = ["out/app", "out/lib/a.so", "out/lib/b.txt", "logs/1.log", "logs/deep/2.log", "x+y.txt"] as const;

test.each([
  [["out/app"], true, ["out/app"], "out"],
  [["out"], false, ["out/app", "out/lib/a.so", "out/lib/b.txt"], "out"],
  [["./out/lib/"], false, ["out/lib/a.so", "out/lib/b.txt"], "out/lib"],
  [["out/**"], false, ["out/app", "out/lib/a.so", "out/lib/b.txt"], "out"],
  [["**/*.log"], false, ["logs/1.log", "logs/deep/2.log"], ""],
  [["logs/*.log"], false, ["logs/1.log"], "logs"],
  [["logs/**/*.log", "out/lib/?.so"], false, ["logs/1.log", "logs/deep/2.log", "out/lib/a.so"], ""],
  [["x+y.txt"], true, ["x+y.txt"], ""],
  [["x?y.*"], false, ["x+y.txt"], ""],
])("%j finds the files that are meant", async (patterns, isSingle, paths, base) => {
  const workspace = await openWorkspace(...tree);
  const found = await collectFiles({ workspace, uid: undefined }, patterns);
  expect({ isSingle: found.isSingle, paths: found.files.map((file) => file.path), base: found.base }).toEqual({
    isSingle,
    paths,
    base,
  });
});

test("no match is an error that names the paths", async () => {
  const workspace = await openWorkspace("a");
  await expect(collectFiles({ workspace, uid: undefined }, ["b/**", "c"])).rejects.toThrow("no file matches b/**, c");
});

test("bad-43: a name that is not UTF-8 is left out and said to be, and the rest is kept", async () => {
  const workspace = await openWorkspace("out/a");
  await writeFile(Buffer.concat([Buffer.from(join(workspace, "out/b")), Buffer.from([0xff])]), "x");

  const found = await collectFiles({ workspace, uid: undefined }, ["out"]);

  expect(found.files.map((file) => file.path)).toEqual(["out/a"]);
  expect(found.omissions).toEqual(["out/b\uFFFD: its name is not UTF-8"]);
});

describe("bad-43: nothing is followed out of a workspace", () => {
  test("links to files and folders are left out, and said to be", async () => {
    const outside = await openWorkspace("secret");
    const workspace = await openWorkspace("out/a");
    await symlink(join(outside, "secret"), join(workspace, "out/file"));
    await symlink(outside, join(workspace, "out/folder"));
    const found = await collectFiles({ workspace, uid: undefined }, ["out"]);
    expect(found.files.map((file) => file.path)).toEqual(["out/a"]);
    expect(found.omissions).toEqual([
      "out/file: it is a link, or no plain file",
      "out/folder: it is a link, or no plain file",
    ]);
    await expect(collectFiles({ workspace, uid: undefined }, ["out/folder/secret"])).rejects.toThrow("no file matches");
  });

  test("a folder that became a link after it was looked at is found out when the file is opened", async () => {
    const outside = await openWorkspace("secret");
    const workspace = await openWorkspace("out/secret");
    const { files } = await collectFiles({ workspace, uid: undefined }, ["out"]);
    await rm(join(workspace, "out"), { recursive: true });
    await symlink(outside, join(workspace, "out"));
    const reading = readAll(readFound({ workspace, uid: undefined }, files[0]!));
    await expect(reading).rejects.toThrow("out/secret leads out of the workspace");
  });

  test("a second name of somebody else's file is not read", async () => {
    const outside = await openWorkspace("secret");
    const workspace = await openWorkspace("a");
    await link(join(outside, "secret"), join(workspace, "b"));
    const uid = (process.getuid?.() ?? 0) + 1;
    const found = await collectFiles({ workspace, uid }, ["b"]);
    const reading = readAll(readFound({ workspace, uid }, found.files[0]!));
    await expect(reading).rejects.toThrow("b is not the job's own");
  });
});
