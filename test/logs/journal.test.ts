import { copyFile, mkdir, open, readdir, rm, truncate } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openJournal, type Journal, type JournalOptions, type JournalPlace } from "../../server/src/logs/journal.ts";
import type { JournalEntry } from "../../server/src/logs/journal-file.ts";
import { chunkOf, makeDirectory, textsOf } from "./support.ts";

let directory: string;
const opened: Journal[] = [];

beforeEach(async () => void (directory = await makeDirectory("journal")));
afterEach(async () => {
  for (const journal of opened.splice(0)) await journal.close().catch(() => undefined);
  await rm(directory, { recursive: true, force: true });
});

async function openAt(path: string, options: Partial<JournalOptions> = {}): Promise<Journal> {
  const journal = await openJournal({ directory: path, onEntry: () => undefined, onRoll: () => undefined, ...options });
  opened.push(journal);
  return journal;
}

/** Opens the journal and gives the texts of all that is found in it. */
async function readBack(path: string): Promise<string[]> {
  const found: { entry: JournalEntry; place: JournalPlace }[] = [];
  const journal = await openAt(path, { onEntry: (entry, place) => void found.push({ entry, place }) });
  const texts: string[] = [];
  for (const { entry, place } of found) {
    if (entry.kind !== "chunk") texts.push(entry.kind);
    else texts.push(...textsOf([{ ...entry.chunk, data: await journal.read(place) }]));
  }
  return texts;
}

const chunkEntry = (line: number): JournalEntry => ({
  kind: "chunk",
  workloadId: "wkl_a",
  fence: 3n,
  chunk: chunkOf(line, 1),
});

test("entries of many logs come back in the order in which they were appended", async () => {
  const journal = await openAt(directory);
  const entries = Array.from({ length: 100 }, (_, line) => chunkEntry(line));

  await Promise.all(
    [...entries, { kind: "end" as const, workloadId: "wkl_a", fence: 3n }].map((one) => journal.append(one)),
  );
  await journal.close();

  expect(await readBack(directory)).toEqual([...Array.from({ length: 100 }, (_, line) => `line ${line}`), "end"]);
});

test("a journal cut at any byte keeps every entry that is whole", async () => {
  const journal = await openAt(directory);
  const ends: number[] = [];
  for (let line = 0; line < 3; line++) {
    const { offset, length } = await journal.append(chunkEntry(line));
    ends.push(offset + length);
  }
  await journal.close();
  const [name] = await readdir(directory);

  for (let length = 0; length <= ends[2]!; length += 3) {
    const copy = join(directory, `cut-${length}`);
    await mkdir(copy);
    await copyFile(join(directory, name!), join(copy, name!));
    await truncate(join(copy, name!), length);
    expect(await readBack(copy)).toHaveLength(ends.filter((end) => end <= length).length);
  }
});

test("a flipped bit ends the reading before the entry that it hit", async () => {
  const journal = await openAt(directory);
  await journal.append(chunkEntry(0));
  const { offset } = await journal.append(chunkEntry(1));
  await journal.close();
  const file = await open(join(directory, (await readdir(directory))[0]!), "r+");
  await file.write(Buffer.of(0), 0, 1, offset);
  await file.close();

  expect(await readBack(directory)).toEqual(["line 0"]);
});

test("a full file is closed and the next begun, and old ones go in order", async () => {
  const rolls: number[] = [];
  const journal = await openAt(directory, { fileBytes: 200, onRoll: (sequence) => void rolls.push(sequence) });
  for (let line = 0; line < 10; line++) await journal.append(chunkEntry(line));

  await journal.removeBefore(journal.sequence - 1);

  expect(rolls).toEqual(Array.from({ length: rolls.length }, (_, index) => index + 2));
  expect(await readdir(directory)).toHaveLength(2);
  await expect(journal.read({ sequence: 1, offset: 0, length: 1 })).rejects.toMatchObject({ reason: "gone" });
});

test("appends that come together are made durable with one fsync, in their order", async () => {
  const journal = await openAt(directory);
  const settled: number[] = [];

  await Promise.all(
    Array.from({ length: 500 }, (_, line) => journal.append(chunkEntry(line)).then(() => settled.push(line))),
  );

  expect(journal.syncs).toBeLessThanOrEqual(2);
  expect(settled).toEqual(Array.from({ length: 500 }, (_, line) => line));
});

test("a closed journal takes nothing", async () => {
  const journal = await openAt(directory);

  await journal.close();

  expect(() => journal.append(chunkEntry(0))).toThrow(/is broken/);
});

test("more than may wait is refused at once, and what waits is kept", async () => {
  const journal = await openAt(directory);
  const chunk = { firstLine: 0, count: 1, size: 1, data: Buffer.alloc(1024 * 1024) };
  const append = (): Promise<JournalPlace> => journal.append({ kind: "chunk", workloadId: "wkl_a", fence: 1n, chunk });
  const waiting = Array.from({ length: 63 }, append);

  expect(append).toThrow(/bytes waiting/);

  expect(await Promise.all(waiting)).toHaveLength(63);
}, 20_000);
