import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openBlobDirectory } from "../../server/src/blobs/directory.ts";
import { blobsContract } from "./contract.ts";

let directory: string;

beforeEach(async () => void (directory = await mkdtemp(join(tmpdir(), "agyn-blobs-"))));
afterEach(async () => await rm(directory, { recursive: true, force: true }));

blobsContract("a directory", () => openBlobDirectory({ directory }));

test("a blob is readable by its owner alone", async () => {
  const blobs = await openBlobDirectory({ directory });
  await blobs.put("a", Buffer.from("x"));

  expect((await stat(join(directory, "a"))).mode & 0o777).toBe(0o600);
});

test("content that fails on the way leaves no draft", async () => {
  const blobs = await openBlobDirectory({ directory });
  async function* failing(): AsyncIterable<Uint8Array> {
    yield Buffer.from("new");
    throw new Error("source failed");
  }

  await expect(blobs.put("a", failing())).rejects.toThrow("source failed");

  expect(await readdir(join(directory, ".tmp"))).toEqual([]);
});

test("drafts of a process that died are removed at the next opening", async () => {
  await mkdir(join(directory, ".tmp"), { recursive: true });
  await writeFile(join(directory, ".tmp", "draft"), "half");

  await openBlobDirectory({ directory });

  expect(await readdir(join(directory, ".tmp"))).toEqual([]);
});

test("the last blob of a folder takes the folder with it, also while another is put there", async () => {
  const blobs = await openBlobDirectory({ directory });
  await blobs.put("logs/a/1/0.log", Buffer.from("1"));
  await blobs.put("logs/b/1/0.log", Buffer.from("1"));

  await Promise.all([
    blobs.delete("logs/a/1/0.log"),
    blobs.delete("logs/b/1/0.log"),
    blobs.put("logs/b/1/1.log", Buffer.from("2")),
  ]);

  expect(await readdir(join(directory, "logs"))).toEqual(["b"]);
  expect(Buffer.from(await blobs.get("logs/b/1/1.log")).toString()).toBe("2");
});

test("a directory gives out no links", async () => {
  const blobs = await openBlobDirectory({ directory });
  await blobs.put("a", Buffer.from("x"));

  expect(await blobs.link("a", { contentType: "text/plain", contentDisposition: "attachment" })).toBeUndefined();
});
