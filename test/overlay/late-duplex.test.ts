import { once } from "node:events";
import { duplexPair, type Duplex } from "node:stream";
import { expect, test } from "vitest";
import { lateDuplex } from "../../overlay/late-duplex.ts";
import { textOf, until } from "./http2-client.ts";

function opening() {
  const [near, far] = duplexPair();
  const { promise, resolve, reject } = Promise.withResolvers<Duplex>();
  let signal: AbortSignal | undefined;
  const late = lateDuplex((given) => {
    signal = given;
    return promise;
  });
  late.on("error", () => {});
  return { late, far, near, arrive: () => resolve(near), fail: reject, aborted: () => signal?.aborted };
}

test("what was written before arrives after", async () => {
  const { late, far, arrive } = opening();
  late.write("early ");
  late.end("and late");
  arrive();
  expect(await textOf(far)).toBe("early and late");
  far.end("answer");
  expect(await textOf(late)).toBe("answer");
});

test("a writer is held back while nothing is open", () => {
  const { late } = opening();
  let written = 0;
  while (late.write(Buffer.alloc(16_384)) && written < 1e8) written += 16_384;
  expect(late.writableLength).toBeLessThan(256 * 1024);
  late.destroy();
});

test("a reader that pauses holds the far end back", async () => {
  const { late, far, arrive } = opening();
  arrive();
  let written = 0;
  while (written < 100) {
    const drained = far.write(Buffer.alloc(16_384)) || (await Promise.race([once(far, "drain"), turns(20)]));
    if (drained === false) break;
    written++;
  }
  expect(written).toBeLessThan(100);
  late.destroy();
});

test("opening that fails destroys it with the reason", async () => {
  const { late, fail } = opening();
  fail(new Error("no road there"));
  expect(await once(late, "error")).toEqual([new Error("no road there")]);
});

test("destroying it aborts the opening, and what arrives all the same is destroyed", async () => {
  const { late, near, arrive, aborted } = opening();
  late.destroy();
  await until(() => aborted() === true, "the opening is aborted");
  arrive();
  await until(() => near.destroyed, "what arrived is destroyed");
});

/** Resolves with `false` after some turns of the event loop. */
async function turns(count: number): Promise<false> {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve));
  return false;
}
