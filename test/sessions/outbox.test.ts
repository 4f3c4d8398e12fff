import { expect, test } from "vitest";
import { maximumMessageBytes } from "../../runner/src/connection.ts";
import { createOutbox, type OutboxBounds } from "../../server/src/sessions/outbox.ts";
import { createSession } from "../../server/src/sessions/session-registry.ts";

const bounds: OutboxBounds = { messages: 5, bytes: 100, batchMessages: 3, batch_bytes: 40 };

/** The batches that come of messages of these sizes. */
async function batchesOf(sizes: readonly number[]): Promise<number[][]> {
  const outbox = createOutbox<number>(bounds);
  for (const size of sizes) outbox.push(size, size);
  outbox.close();
  const batches: number[][] = [];
  for await (const batch of outbox.batches()) batches.push(batch);
  return batches;
}

test("a batch keeps within its messages and its bytes, unless one message is larger", async () => {
  expect(await batchesOf([1, 1, 1, 1])).toEqual([[1, 1, 1], [1]]);
  expect(await batchesOf([20, 20, 20])).toEqual([[20, 20], [20]]);
  expect(await batchesOf([5, 60, 5])).toEqual([[5], [60], [5]]);
});

test("what waits is bounded by messages and by bytes, and one message always has room", () => {
  const byCount = createOutbox<number>(bounds);
  expect([1, 2, 3, 4, 5, 6].map((one) => byCount.push(one, 1))).toEqual([true, true, true, true, true, false]);
  const byBytes = createOutbox<number>(bounds);
  expect([200, 1].map((bytes) => byBytes.push(bytes, bytes))).toEqual([true, false]);
});

test("what is pushed together to a reader who waits goes out together, before anything else has its turn", async () => {
  const outbox = createOutbox<number>(bounds);
  const reader = outbox.batches()[Symbol.asyncIterator]();
  const next = reader.next();
  await new Promise<void>((resolve) => setImmediate(resolve));
  const turns: string[] = [];

  for (const message of [1, 2]) outbox.push(message, 1);
  setImmediate(() => turns.push("something else"));
  const { value } = await next;

  expect([value, turns]).toEqual([[1, 2], []]);
});

test("what is let go of makes room", async () => {
  const outbox = createOutbox<number>(bounds);
  outbox.push(90, 90);
  outbox.clear();
  expect(outbox.push(80, 80)).toBe(true);
  outbox.close();
  for await (const batch of outbox.batches()) expect(batch).toEqual([80]);
});

test("placements that are larger together than what a runner reads at once go out in several messages", async () => {
  const session = createSession({ runnerId: "rnr", spkiSha256: "" }, 1n);
  const largest_bytes = 8 * 1024 * 1024;
  for (let count = 0; count < 3; count += 1) session.send({ case: "place", value: {} }, largest_bytes);
  session.outbox.close();
  for await (const batch of session.outbox.batches())
    expect(batch.length * largest_bytes).toBeLessThan(maximumMessageBytes);
});
