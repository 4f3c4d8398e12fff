import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { makeDirectory } from "../../server/src/blobs/make-directory.ts";
import { claimDataDirectory } from "../../server/src/data-directory.ts";
import { settle, toConfig } from "../../server/src/config.ts";
import { explainStartFailure } from "../../server/src/start-failure.ts";
import { openDataDirectory } from "../../runner/src/data-directory.ts";

let directory: string;

beforeEach(async () => void (directory = await mkdtemp(join(tmpdir(), "agyn-directories-"))));
afterEach(async () => await rm(directory, { recursive: true, force: true }));

test("a directory is made with all that is missing above it, for its owner alone, and may be there already", async () => {
  const path = join(directory, "a", "b", "c");
  await makeDirectory(path);
  await makeDirectory(path);
  expect((await stat(join(directory, "a"))).mode & 0o777).toBe(0o700);
});

test("a file in the way is an error", async () => {
  await writeFile(join(directory, "file"), "");
  await expect(makeDirectory(join(directory, "file"))).rejects.toThrow("EEXIST");
  await expect(makeDirectory(join(directory, "file", "below"))).rejects.toThrow("ENOTDIR");
});

test("a data directory where none can be made is refused instead of tried for good, by server and runner", async () => {
  const refused = await claimDataDirectory("/proc/agyn/data").catch((error: unknown) => error);
  const config = toConfig(settle({ data_dir: "/proc/agyn/data" }, {}, undefined));
  expect(explainStartFailure(refused, config)).toMatchObject({
    message: "data_dir: /proc/agyn cannot be made or used (ENOENT): make it this user's, or choose another directory",
  });
  expect(() => openDataDirectory("/proc/agyn/data")).toThrow("the data directory cannot be made: ENOENT");
});
