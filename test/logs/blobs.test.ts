import { mkdir, readdir, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Blobs } from "../../server/src/blobs/blobs.ts";
import { openBlobDirectory } from "../../server/src/blobs/directory.ts";
import { makeDirectory } from "./support.ts";

let directory: string;
let blobs: Blobs;

beforeEach(async () => {
  directory = await makeDirectory("blobs");
  blobs = await openBlobDirectory({ directory });
});
afterEach(async () => await rm(directory, { recursive: true, force: true }));

async function keysBelow(prefix: string): Promise<string[]> {
  return (await gather(blobs.list(prefix))).toSorted();
}

async function gather<T>(source: AsyncIterable<T>): Promise<T[]> {
  const gathered: T[] = [];
  for await (const one of source) gathered.push(one);
  return gathered;
}

test("a blob comes back whole, in ranges and in pieces", async () => {
  await blobs.put("logs/a/1.log", Buffer.from("0123456789"));

  expect(Buffer.from(await blobs.get("logs/a/1.log")).toString()).toBe("0123456789");
  expect(Buffer.from(await blobs.get("logs/a/1.log", { offset: 7, length: 9 })).toString()).toBe("789");
  const pieces = await gather(blobs.stream("logs/a/1.log", { offset: 2, length: 3 }));
  expect(Buffer.concat(pieces).toString()).toBe("234");
});

test("a blob is readable by its owner alone and replaces what was there", async () => {
  await blobs.put("a", Buffer.from("first"));

  expect(await blobs.put("a", Buffer.from("2nd"))).toEqual({ sizeBytes: 3 });

  expect((await stat(join(directory, "a"))).mode & 0o777).toBe(0o600);
  expect(Buffer.from(await blobs.get("a")).toString()).toBe("2nd");
});

test("content that fails on the way leaves the old blob and no draft", async () => {
  await blobs.put("a", Buffer.from("old"));
  async function* failing(): AsyncIterable<Uint8Array> {
    yield Buffer.from("new");
    throw new Error("source failed");
  }

  await expect(blobs.put("a", failing())).rejects.toThrow("source failed");

  expect(Buffer.from(await blobs.get("a")).toString()).toBe("old");
  expect(await readdir(join(directory, ".tmp"))).toEqual([]);
});

test("drafts of a process that died are removed at the next opening", async () => {
  await mkdir(join(directory, ".tmp"), { recursive: true });
  await writeFile(join(directory, ".tmp", "draft"), "half");

  blobs = await openBlobDirectory({ directory });

  expect(await readdir(join(directory, ".tmp"))).toEqual([]);
});

test("a list has every key below its folder and none beside it", async () => {
  for (const key of ["logs/a/1/x", "logs/a/2/y", "logs/ab/1/z"]) await blobs.put(key, Buffer.from("x"));

  expect(await keysBelow("logs/a")).toEqual(["logs/a/1/x", "logs/a/2/y"]);
  expect(await keysBelow("nowhere")).toEqual([]);
});

test("a deleted blob is not found, and deleting it again is no error", async () => {
  await blobs.put("logs/a", Buffer.from("x"));
  await blobs.delete("logs/a");
  await blobs.delete("logs/a");

  await expect(blobs.get("logs/a")).rejects.toMatchObject({ reason: "not_found" });
});

test.each(["../a", "/etc/passwd", "a/../b", "a//b", "", ".", ".tmp/x", "a/", "C:\\x", "a\0b", "é", "x".repeat(600)])(
  "bad-43: the key %j is refused by every call",
  async (key) => {
    await expect(blobs.put(key, Buffer.from("x"))).rejects.toMatchObject({ reason: "invalid_key" });
    await expect(blobs.get(key)).rejects.toMatchObject({ reason: "invalid_key" });
    await expect(blobs.delete(key)).rejects.toMatchObject({ reason: "invalid_key" });
    await expect(keysBelow(key)).rejects.toMatchObject({ reason: "invalid_key" });
  },
);

test("the last blob of a folder takes the folder with it, also while another is put there", async () => {
  await blobs.put("logs/a/1/0.log", Buffer.from("1"));
  await blobs.put("logs/b/1/0.log", Buffer.from("1"));

  await Promise.all([
    blobs.delete("logs/a/1/0.log"),
    blobs.delete("logs/b/1/0.log"),
    blobs.put("logs/b/1/1.log", Buffer.from("2")),
  ]);

  expect(await readdir(join(directory, "logs"))).toEqual(["b"]);
  expect(await keysBelow("logs")).toEqual(["logs/b/1/1.log"]);
});
