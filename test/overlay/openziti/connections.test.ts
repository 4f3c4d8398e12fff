import { randomBytes } from "node:crypto";
import { once } from "node:events";
import type { Duplex } from "node:stream";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { textOf, until } from "../http2-client.ts";
import { openZitiWorld, type ZitiWorld } from "./world.ts";

const worlds = {
  encrypted: await openZitiWorld(),
  "in the clear": await openZitiWorld({ encrypted: false }),
};
const ends: Duplex[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end.destroy();
});
afterAll(async () => {
  for (const world of Object.values(worlds)) await world[Symbol.asyncDispose]();
});

async function connect(world: ZitiWorld, maxReceive_bytes = 1e6): Promise<[near: Duplex, far: Duplex]> {
  const overlay = world.overlay({ settings: { maxReceive_bytes } });
  const pair = await world.connect(overlay);
  ends.push(...pair);
  return pair;
}

describe.each(Object.entries(worlds))("%s", (_, world) => {
  test("all bytes arrive in order, whatever the pieces", async () => {
    const [near, far] = await connect(world);
    const sizes = [0, 1, 2, 30_000, 31 * 1024 - 17, 31 * 1024 - 16, 31 * 1024, 65_536, 200_001, 3, 3, 3];
    const sent = sizes.map((size) => randomBytes(size));
    const all = bytesOf(far);
    for (const piece of sent) if (!near.write(piece)) await once(near, "drain");
    near.end();
    expect((await all).equals(Buffer.concat(sent))).toBe(true);
    expect(world.fabric.violations).toEqual([]);
  });

  test("an end that says nothing at all ends the other cleanly", async () => {
    const [near, far] = await connect(world);
    near.end();
    expect(await textOf(far)).toBe("");
    far.end();
    near.resume();
    await Promise.all([closed(near), closed(far)]);
    expect([near.errored, far.errored]).toEqual([null, null]);
    await until(() => world.fabric.counts.circuits === 0, "the circuit is gone");
  });

  test("an end that is destroyed before it has said all is an error at the other", async () => {
    const [near, far] = await connect(world);
    near.write("half a");
    near.destroy();
    await closed(far);
    expect(far.errored).toMatchObject({ reason: "broken", message: expect.stringContaining("closed") });
  });

  test("what came before the end can be read after the other is gone", async () => {
    const [near, far] = await connect(world);
    near.end("last words");
    await once(near, "finish");
    await until(() => far.readableLength === 0, "nothing is read");
    near.destroy();
    await until(() => world.fabric.counts.circuits === 0, "the circuit is gone");
    expect(await textOf(far)).toBe("last words");
    await closed(far);
    expect(far.errored).toBeNull();
  });

  test("whoever writes to an end that is gone is told", async () => {
    const [near, far] = await connect(world);
    far.end();
    await once(far, "finish");
    far.destroy();
    await until(() => world.fabric.counts.circuits === 0, "the circuit is gone");
    await until(() => near.destroyed || !near.write("anybody?"), "a write fails");
    await closed(near);
    expect(near.errored).toMatchObject({ reason: "broken" });
  });

  test("a reader that takes nothing loses its connection at the bound, and its neighbours do not wait", async () => {
    const bound = 256 * 1024;
    const overlay = world.overlay({ settings: { maxReceive_bytes: bound } });
    const [slow, fast] = [await world.connect(overlay), await world.connect(overlay)];
    ends.push(...slow, ...fast);
    const received = bytesOf(fast[1]);
    slow[0].write(Buffer.alloc(2 * bound));
    fast[0].end(Buffer.alloc(4 * bound));

    expect((await received).length).toBe(4 * bound);
    await closed(slow[0]);
    expect(slow[1].errored).toMatchObject({ reason: "exhausted", message: expect.stringContaining(`${bound} bytes`) });
    expect(slow[0].errored).toMatchObject({ reason: "broken" });
  });

  test("a flood of tiny pieces counts for more than its bytes", async () => {
    const [near, far] = await connect(world, 64 * 1024);
    for (let piece = 0; piece < 2000 && !far.destroyed; piece++) {
      near.write("x");
      await new Promise((resolve) => setImmediate(resolve));
    }
    await until(() => far.destroyed, "the bound is reached");
    expect(far.errored).toMatchObject({ reason: "exhausted" });
  });
});

const faults = ["malform", "duplicate", "drop"] as const;
test.each(faults)("a router that does %s to a piece breaks the connection and nothing else is read", async (fault) => {
  const world = worlds.encrypted;
  const [near, far] = await connect(world);
  near.write("first");
  await once(far, "readable");
  expect(String(far.read())).toBe("first");

  world.fabric.router().frames.arm(fault, { type: 60_786 });
  near.write("second");
  near.write("third");
  const rest = bytesOf(far).catch(() => Buffer.alloc(0));
  near.write("fourth");
  await closed(far);
  expect(far.errored).toMatchObject({ reason: expect.stringMatching(/broken|unauthorized/) });
  expect("second".startsWith(String(await rest)) || String(await rest) === "").toBe(true);
});

async function bytesOf(stream: Duplex): Promise<Buffer> {
  const pieces: Buffer[] = [];
  stream.on("data", (piece: Buffer) => pieces.push(piece));
  await Promise.race([new Promise((resolve) => stream.once("end", resolve)), closed(stream)]);
  return Buffer.concat(pieces);
}

/** Waits until a stream is gone, for whatever reason. */
async function closed(stream: Duplex): Promise<void> {
  if (!stream.closed) await new Promise<void>((resolve) => stream.once("close", resolve));
}
