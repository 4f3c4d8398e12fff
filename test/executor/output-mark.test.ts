import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { openOutputMark, readOutputMark } from "../../runner/src/executors/output-mark.ts";

async function markFile() {
  const directory = await mkdtemp(join(tmpdir(), "agyn-mark-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  return join(directory, "out.mark");
}

test("the piece that was marked last is found again with its position", async () => {
  const path = await markFile();
  const mark = openOutputMark(path);
  mark.write({ segment: 1, offset: 0, length: 65_536, position: { line: 0, heldBytes: 0 } });
  const piece = { segment: 2 ** 40, offset: 2 ** 24 - 1, length: 1, position: { line: 2 ** 41, heldBytes: 65_535 } };

  mark.write(piece);
  mark.close();

  expect(readOutputMark(path)).toEqual(piece);
});

test("a mark that was never written, is cut short, or is damaged says nothing", async () => {
  const path = await markFile();
  expect(readOutputMark(path)).toBeUndefined();
  const mark = openOutputMark(path);
  expect(readOutputMark(path)).toBeUndefined();

  mark.write({ segment: 3, offset: 4, length: 5, position: { line: 6, heldBytes: 7 } });
  mark.close();
  const bytes = await readFile(path);
  await writeFile(path, bytes.subarray(0, 39));
  expect(readOutputMark(path)).toBeUndefined();

  bytes[19]! += 1;
  await writeFile(path, bytes);
  expect(readOutputMark(path)).toBeUndefined();
});
