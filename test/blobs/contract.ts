import { createHash, randomBytes } from "node:crypto";
import { describe, expect, test } from "vitest";
import type { Blobs } from "../../server/src/blobs/blobs.ts";

const mebibyte = 1024 * 1024;

/** What each blob store must do. `open` answers one that is empty. */
export function blobsContract(name: string, open: () => Promise<Blobs>): void {
  describe(`blobs: ${name}`, () => {
    contents(open);
    keys(open);
  });
}

function contents(open: () => Promise<Blobs>): void {
  test("a blob comes back whole, in ranges and in pieces", async () => {
    const blobs = await open();
    await blobs.put("logs/a/1.log", Buffer.from("0123456789"));

    expect(Buffer.from(await blobs.get("logs/a/1.log")).toString()).toBe("0123456789");
    const range = async (offset: number, length: number) =>
      Buffer.from(await blobs.get("logs/a/1.log", { offset, length })).toString();
    expect(await range(7, 9)).toBe("789");
    expect(await range(9, Number.MAX_SAFE_INTEGER - 9)).toBe("9");
    expect([await range(10, 1), await range(99, 5), await range(3, 0)]).toEqual(["", "", ""]);
    const pieces = await gather(blobs.stream("logs/a/1.log", { offset: 2, length: 3 }));
    expect(Buffer.concat(pieces).toString()).toBe("234");
  });

  test("a blob replaces what was there, and may be empty", async () => {
    const blobs = await open();
    await blobs.put("a", Buffer.from("first"));

    expect(await blobs.put("a", Buffer.from("2nd"))).toEqual({ sizeBytes: 3 });
    expect(Buffer.from(await blobs.get("a")).toString()).toBe("2nd");
    expect(await blobs.put("a", Buffer.alloc(0))).toEqual({ sizeBytes: 0 });
    expect(await blobs.get("a")).toHaveLength(0);
  });

  test("a blob of many pieces and parts comes back byte for byte, from any place", async () => {
    const blobs = await open();
    const piece = randomBytes(3 * mebibyte + 17);
    const whole = Buffer.concat(Array.from({ length: 6 }, () => piece));

    expect(await blobs.put("large", repeated(piece, 6))).toEqual({ sizeBytes: whole.length });

    const hash = createHash("sha256");
    for await (const part of blobs.stream("large")) hash.update(part);
    expect(hash.digest("hex")).toBe(createHash("sha256").update(whole).digest("hex"));
    const offset = 8 * mebibyte - 3;
    expect((await blobs.get("large", { offset, length: 7 })).toString()).toBe(
      whole.subarray(offset, offset + 7).toString(),
    );
  });

  test.each([1, 6])("content that fails after %i pieces leaves the old blob and nothing else", async (count) => {
    const blobs = await open();
    await blobs.put("a", Buffer.from("old"));
    async function* failing(): AsyncIterable<Uint8Array> {
      yield* repeated(Buffer.alloc(3 * mebibyte), count);
      throw new Error("source failed");
    }

    await expect(blobs.put("a", failing())).rejects.toThrow("source failed");

    expect(Buffer.from(await blobs.get("a")).toString()).toBe("old");
  });
}

function keys(open: () => Promise<Blobs>): void {
  const keysBelow = async (blobs: Blobs, prefix: string) => (await gather(blobs.list(prefix))).toSorted();

  test("a list has every key below its folder and none beside it", async () => {
    const blobs = await open();
    for (const key of ["logs/a/1/x", "logs/a/2/y", "logs/ab/1/z"]) await blobs.put(key, Buffer.from("x"));

    expect(await keysBelow(blobs, "logs/a")).toEqual(["logs/a/1/x", "logs/a/2/y"]);
    expect(await keysBelow(blobs, "nowhere")).toEqual([]);
  });

  test("a deleted blob is not found, and deleting it again is no error", async () => {
    const blobs = await open();
    await blobs.put("logs/a", Buffer.from("x"));
    await blobs.delete("logs/a");
    await blobs.delete("logs/a");

    await expect(blobs.get("logs/a")).rejects.toMatchObject({ reason: "not_found" });
    await expect(gather(blobs.stream("logs/a", { offset: 1, length: 1 }))).rejects.toMatchObject({
      reason: "not_found",
    });
  });

  test.each(["../a", "/etc/passwd", "a/../b", "a//b", "", ".", ".tmp/x", "a/", "C:\\x", "a\0b", "é", "x".repeat(600)])(
    "bad-43: the key %j is refused by every call",
    async (key) => {
      const blobs = await open();
      const refused = { reason: "invalid_key" };
      await expect(blobs.put(key, Buffer.from("x"))).rejects.toMatchObject(refused);
      await expect(blobs.get(key)).rejects.toMatchObject(refused);
      await expect(blobs.delete(key)).rejects.toMatchObject(refused);
      await expect(keysBelow(blobs, key)).rejects.toMatchObject(refused);
    },
  );
}

async function* repeated(piece: Uint8Array, count: number): AsyncGenerator<Uint8Array> {
  for (let index = 0; index < count; index += 1) yield piece;
}

async function gather<T>(source: AsyncIterable<T>): Promise<T[]> {
  const gathered: T[] = [];
  for await (const one of source) gathered.push(one);
  return gathered;
}
