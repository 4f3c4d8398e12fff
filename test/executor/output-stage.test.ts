import { closeSync, ftruncateSync, openSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { openOutputStage, readStaged, stageBytes } from "../../runner/src/executors/output-stage.ts";

async function stageFile() {
  const directory = await mkdtemp(join(tmpdir(), "agyn-stage-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  return join(directory, "out.stage");
}

test.each([1, 5, 4096, stageBytes])("what was read last is found again with its position: %i bytes", async (length) => {
  const path = await stageFile();
  const stage = openOutputStage(path);
  stage.buffer.fill("old");
  stage.keep(stageBytes, { line: 1, heldBytes: 2 });
  const read = Buffer.alloc(length, "new");
  read.copy(stage.buffer);

  const handed = stage.keep(length, { line: 2 ** 40, heldBytes: 7 });
  stage.close();

  expect(handed.equals(read)).toBe(true);
  expect(readStaged(path)).toEqual({ position: { line: 2 ** 40, heldBytes: 7 }, bytes: read });
});

test("a stage that was never written, or was cut short, holds nothing", async () => {
  const path = await stageFile();
  expect(readStaged(path)).toBeUndefined();
  const stage = openOutputStage(path);
  expect(readStaged(path)).toBeUndefined();

  stage.keep(10, { line: 0, heldBytes: 0 });
  stage.close();
  const file = openSync(path, "r+");
  ftruncateSync(file, stageBytes + 5);
  closeSync(file);

  expect(readStaged(path)).toBeUndefined();
});
