import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { LogKey, LogSegment, SegmentIndex } from "../../server/src/logs/segment-index.ts";
import { createSegmentIndex } from "../../server/src/store/log-segments.ts";
import { createId } from "../../wire/ids.ts";
import { startPostgres, type TestPostgres } from "./support.ts";

let database: TestPostgres;
let index: SegmentIndex;
let key: LogKey;
const now = new Date("2026-01-02T03:04:05.678Z");

beforeAll(async () => {
  database = await startPostgres();
  index = createSegmentIndex(database.sql);
}, 60_000);
afterAll(async () => await database.stop());
beforeEach(() => void (key = { workloadId: createId("workload"), fence: 2n ** 63n - 1n }));

function segmentOf(firstLine: number, nextLine: number): LogSegment {
  return { ...key, firstLine, nextLine, blobKey: `logs/${firstLine}`, sizeBytes: 9, indexOffset: 5, createTime: now };
}

test("segments are listed by their numbers, however many digits these have", async () => {
  const segments = [segmentOf(0, 9), segmentOf(9, 100), segmentOf(100, 2 ** 52), segmentOf(2 ** 52, 2 ** 53 - 1)];

  for (const segment of segments.toReversed()) await index.insert(segment);

  expect(await index.list(key)).toEqual(segments);
});

test("of two segments with one first line the longer stays, whichever comes last", async () => {
  await index.insert(segmentOf(0, 9));
  await index.insert(segmentOf(0, 20));
  await index.insert(segmentOf(0, 12));

  expect(await index.list(key)).toEqual([segmentOf(0, 20)]);
});

test("the first end of a log stands", async () => {
  expect(await index.endedAt(key)).toBeUndefined();

  await index.markEnded(key, 7, now);
  await index.markEnded(key, 9, now);

  expect(await index.endedAt(key)).toBe(7);
});

test("deleting a workload removes its rows under every fence and no others", async () => {
  const neighbour = { ...segmentOf(0, 9), workloadId: createId("workload") };
  for (const segment of [segmentOf(0, 9), { ...segmentOf(0, 9), fence: 1n }, neighbour]) await index.insert(segment);
  await index.markEnded(key, 9, now);

  await index.delete(key.workloadId);

  expect(await index.list(key)).toEqual([]);
  expect(await index.list({ ...key, fence: 1n })).toEqual([]);
  expect(await index.endedAt(key)).toBeUndefined();
  expect(await index.list(neighbour)).toEqual([neighbour]);
});
