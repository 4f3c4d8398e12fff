import { createId } from "../../wire/ids.ts";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { readdir, appendFile } from "node:fs/promises";
import { join } from "node:path";
import { openBlobDirectory } from "../../server/src/blobs/directory.ts";
import { openLogStore } from "../../server/src/logs/log-store.ts";
import { createSegmentIndex } from "../../server/src/store/log-segments.ts";
import { chunkOf, collect, numberedTexts, openLogWorld, startPostgres, textsOf, until } from "./support.ts";
import type { LogWorld, TestPostgres } from "./support.ts";
import type { LogKey } from "../../server/src/logs/segment-index.ts";

let database: TestPostgres;
let world: LogWorld;
let log: LogKey;

beforeAll(async () => void (database = await startPostgres()), 60_000);
afterAll(async () => await database.stop());
beforeEach(async () => {
  world = await openLogWorld(database.sql);
  log = { workloadId: createId("workload"), fence: (1n << 40n) + 7n };
});
afterEach(async () => await world.close());

const journalFiles = async (): Promise<string[]> => await readdir(join(world.directory, "journal"));

test("chunks are acknowledged with the next line and read back in order", async () => {
  const answers = await Promise.all([0, 10, 20].map((line) => world.store.append({ ...log, ...chunkOf(line, 10) })));

  const { chunks, nextLine, isEnd } = await world.store.read({ ...log, fromLine: 0 });
  expect(answers.map((answer) => answer.nextLine)).toEqual([10, 20, 30]);
  expect(textsOf(chunks)).toEqual(numberedTexts(30));
  expect({ nextLine, isEnd }).toEqual({ nextLine: 30, isEnd: false });
});

test("bad-13: a duplicate and an overlap store nothing and answer with the durable next line", async () => {
  await world.store.append({ ...log, ...chunkOf(0, 10) });

  expect(await world.store.append({ ...log, ...chunkOf(0, 10) })).toEqual({ nextLine: 10 });
  expect(await world.store.append({ ...log, ...chunkOf(5, 20) })).toEqual({ nextLine: 10 });
  expect(textsOf((await world.store.read({ ...log, fromLine: 0 })).chunks)).toEqual(numberedTexts(10));
});

test("bad-13: a gap in the numbering is refused with the line that is expected", async () => {
  await world.store.append({ ...log, ...chunkOf(0, 10) });

  await expect(world.store.append({ ...log, ...chunkOf(11, 1) })).rejects.toMatchObject({
    reason: "out_of_order",
    expectedLine: 10,
  });
});

test.each([-1, 2 ** 53, 2 ** 63, 0.5, NaN])("bad-13: the first line %d is refused", async (firstLine) => {
  const chunk = { ...chunkOf(0, 1), firstLine };

  await expect(world.store.append({ ...log, ...chunk })).rejects.toMatchObject({ reason: "invalid" });
});

test("a chunk that does not decode to what it declares is refused and nothing is kept", async () => {
  const chunk = chunkOf(0, 10);

  await expect(world.store.append({ ...log, ...chunk, count: 11 })).rejects.toMatchObject({ reason: "invalid" });
  await expect(world.store.append({ ...log, ...chunk, data: Buffer.from("x") })).rejects.toMatchObject({
    reason: "invalid",
  });
  expect(await world.store.nextLine(log)).toBe(0);
});

test.each(["../../etc", "a/b", "", ".", "x".repeat(300)])("a workload id such as %j is refused", async (workloadId) => {
  await expect(world.store.append({ workloadId, fence: 1n, ...chunkOf(0, 1) })).rejects.toThrow(/blob key|workload id/);
});

test("logs of two fences of a workload are apart", async () => {
  const later = { ...log, fence: log.fence + 1n };
  await world.store.append({ ...log, ...chunkOf(0, 3) });

  await world.store.append({ ...later, ...chunkOf(0, 5) });

  expect(await world.store.nextLine(log)).toBe(3);
  expect(await world.store.nextLine(later)).toBe(5);
});

test("a log reads the same after it was sealed, and its journal is gone", async () => {
  for (let line = 0; line < 100; line += 10) await world.store.append({ ...log, ...chunkOf(line, 10) });
  const before = await world.store.read({ ...log, fromLine: 35, limitLines: 20 });

  await world.store.end(log);
  await world.store.seal();

  expect(await world.store.read({ ...log, fromLine: 35, limitLines: 20 })).toEqual(before);
  expect(await journalFiles()).toHaveLength(1);
  const rows = await database.sql`select next_line from log_segments where workload_id = ${log.workloadId}`;
  expect(rows).toMatchObject([{ next_line: "100" }]);
});

test("a read spans what is sealed and what is not", async () => {
  await world.store.append({ ...log, ...chunkOf(0, 10) });
  await world.store.seal();
  await world.store.append({ ...log, ...chunkOf(10, 10) });

  const { chunks } = await world.store.read({ ...log, fromLine: 0 });

  expect(textsOf(chunks)).toEqual(numberedTexts(20));
});

test("the tail is the last lines, in whole chunks", async () => {
  for (let line = 0; line < 100; line += 10) await world.store.append({ ...log, ...chunkOf(line, 10) });

  const { chunks, nextLine } = await world.store.tail({ ...log, lines: 15 });

  expect(textsOf(chunks)).toEqual(numberedTexts(20, 80));
  expect(nextLine).toBe(100);
});

test("bad-40: a read gives no more than its limit of bytes and says where to go on", async () => {
  for (let line = 0; line < 100; line += 10) await world.store.append({ ...log, ...chunkOf(line, 10) });

  const { chunks, nextLine } = await world.store.read({ ...log, fromLine: 0, limitBytes: 250 });

  expect(chunks).toHaveLength(2);
  expect(nextLine).toBe(20);
});

test("a restarted server goes on where the log was", async () => {
  await world.store.append({ ...log, ...chunkOf(0, 10) });

  world = await world.reopen();
  await world.store.append({ ...log, ...chunkOf(10, 10) });
  world = await world.reopen();

  expect(await world.store.nextLine(log)).toBe(20);
  expect(textsOf((await world.store.read({ ...log, fromLine: 0 })).chunks)).toEqual(numberedTexts(20));
});

test("what was torn at the journal's end is cut off and the lines before it stay", async () => {
  await world.store.append({ ...log, ...chunkOf(0, 10) });
  const file = (await journalFiles()).at(-1)!;
  await world.store.close();
  await appendFile(join(world.directory, "journal", file), Buffer.from("agj1\x00\x00\x01\x00torn"));

  world = await openLogWorld(database.sql, {}, world.directory);

  expect(await world.store.append({ ...log, ...chunkOf(10, 5) })).toEqual({ nextLine: 15 });
  expect(textsOf((await world.store.read({ ...log, fromLine: 0 })).chunks)).toEqual(numberedTexts(15));
});

test("a follower from the start sees every line and ends with the log", async () => {
  await world.store.append({ ...log, ...chunkOf(0, 10) });
  const followed = collect(world.store.follow({ ...log, fromLine: 0 }));
  for (let line = 10; line < 50; line += 10) await world.store.append({ ...log, ...chunkOf(line, 10) });
  await world.store.seal();
  await world.store.append({ ...log, ...chunkOf(50, 10) });

  await world.store.end(log);

  expect(await followed).toEqual(numberedTexts(60));
});

test("a follower from the tail sees what comes after", async () => {
  await world.store.append({ ...log, ...chunkOf(0, 10) });
  const fromLine = await world.store.nextLine(log);
  const followed = collect(world.store.follow({ ...log, fromLine }));

  await world.store.append({ ...log, ...chunkOf(10, 10) });
  await world.store.end(log);

  expect(await followed).toEqual(numberedTexts(10, 10));
});

test("a follower of a log that has ended gets it all and ends", async () => {
  await world.store.append({ ...log, ...chunkOf(0, 10) });
  await world.store.end(log);
  world = await world.reopen();

  expect(await collect(world.store.follow({ ...log, fromLine: 0 }))).toEqual(numberedTexts(10));
});

test("a follower whose signal aborts ends without an error", async () => {
  const abort = new AbortController();
  const followed = collect(world.store.follow({ ...log, fromLine: 0, signal: abort.signal }));

  abort.abort();

  expect(await followed).toEqual([]);
});

test("bad-17: a follower who does not read holds up nobody and misses nothing", async () => {
  const slow = world.store.follow({ ...log, fromLine: 0, limitBytes: 1 })[Symbol.asyncIterator]();
  await world.store.append({ ...log, ...chunkOf(0, 10) });
  const first = await slow.next();

  for (let line = 10; line < 500; line += 10) await world.store.append({ ...log, ...chunkOf(line, 10) });
  await world.store.end(log);

  const rest = await collect({ [Symbol.asyncIterator]: () => slow });
  expect([...textsOf(first.value.chunks), ...rest]).toEqual(numberedTexts(500));
});

test("a log that has ended takes no more lines, also after a restart", async () => {
  await world.store.append({ ...log, ...chunkOf(0, 10) });
  expect(await world.store.end(log)).toEqual({ nextLine: 10 });
  await expect(world.store.append({ ...log, ...chunkOf(10, 1) })).rejects.toMatchObject({ reason: "ended" });

  world = await world.reopen();

  await expect(world.store.append({ ...log, ...chunkOf(10, 1) })).rejects.toMatchObject({ reason: "ended" });
  expect(await world.store.append({ ...log, ...chunkOf(0, 10) })).toEqual({ nextLine: 10 });
});

test("bad-41: a deleted log ends its followers with an error and is gone, also after a restart", async () => {
  await world.store.append({ ...log, ...chunkOf(0, 10) });
  await world.store.seal();
  await world.store.append({ ...log, ...chunkOf(10, 10) });
  const follower = world.store.follow({ ...log, fromLine: 0 });
  const followed = expect(collect(follower)).rejects.toMatchObject({ reason: "deleted" });

  await world.store.delete(log.workloadId);

  await followed;
  world = await world.reopen();
  expect((await world.store.read({ ...log, fromLine: 0 })).chunks).toEqual([]);
  expect(await world.store.nextLine(log)).toBe(0);
});

test("a follower at another server sees what is sealed and ends with the log", async () => {
  const other = await openLogStore({
    directory: join(world.directory, "other-journal"),
    blobs: await openBlobDirectory({ directory: join(world.directory, "blobs") }),
    segments: createSegmentIndex(database.sql),
    followPollMs: 20,
  });
  const followed = collect(other.follow({ ...log, fromLine: 0 }));
  await world.store.append({ ...log, ...chunkOf(0, 10) });
  await world.store.seal();
  await world.store.append({ ...log, ...chunkOf(10, 10) });
  await world.store.end(log);

  expect(await followed).toEqual(numberedTexts(20));
  expect(await other.nextLine(log)).toBe(20);
  await other.close();
});

test("a runner that goes on at another server goes on where it was, and what it was acknowledged can be read there", async () => {
  const other = await openLogStore({
    directory: join(world.directory, "other-journal"),
    blobs: await openBlobDirectory({ directory: join(world.directory, "blobs"), owner: "other" }),
    segments: createSegmentIndex(database.sql),
    askOthers: async (key) => void (await world.store.sealLog(key)),
  });
  await world.store.append({ ...log, ...chunkOf(0, 10) });
  expect((await other.tail({ ...log, lines: 5 })).nextLine).toBe(10);
  await world.store.append({ ...log, ...chunkOf(10, 10) });

  expect(await other.append({ ...log, ...chunkOf(20, 10) })).toEqual({ nextLine: 30 });
  await other.end(log);

  expect(await collect(other.follow({ ...log, fromLine: 0 }))).toEqual(numberedTexts(30));
  await expect(world.store.append({ ...log, ...chunkOf(40, 10) })).rejects.toMatchObject({ reason: "out_of_order" });
  await other.seal();
  expect(await collect(world.store.follow({ ...log, fromLine: 0 }))).toEqual(numberedTexts(30));
  expect(await world.store.sealLog(log)).toBe(false);
  await other.close();
});

test("journal files that are full are sealed and removed by themselves", async () => {
  await world.close();
  world = await openLogWorld(database.sql, { journalFileBytes: 4096 });
  for (let line = 0; line < 2000; line += 10) await world.store.append({ ...log, ...chunkOf(line, 10) });

  await until("the journal is short", async () => (await journalFiles()).length <= 2);

  expect(await collect(readAll())).toEqual(numberedTexts(2000));
});

async function* readAll(): ReturnType<LogWorld["store"]["follow"]> {
  for (let fromLine = 0; ;) {
    const batch = await world.store.read({ ...log, fromLine });
    if (batch.chunks.length === 0) return;
    yield batch;
    fromLine = batch.nextLine;
  }
}
