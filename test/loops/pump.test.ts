import { expect, test } from "vitest";
import { createPump } from "../../server/src/loops/pump.ts";

/** A pump of numbered pieces that are done when the test says so; each takes at most three of what waits. */
function openPump() {
  const errors: unknown[] = [];
  let waiting: number[] = [];
  const begun: { pieces: number[]; done: PromiseWithResolvers<void> }[] = [];
  const pump = createPump({
    limit: 2,
    hasWork: () => waiting.length > 0,
    work: () => {
      const one = { pieces: waiting.splice(0, 3), done: Promise.withResolvers<void>() };
      begun.push(one);
      return one.done.promise;
    },
    onError: (error) => errors.push(error),
  });
  const add = (...pieces: number[]) => {
    waiting = [...waiting, ...pieces];
    for (const _ of pieces) pump.signal();
  };
  return { pump, add, errors, begun, pieces: () => begun.map((one) => one.pieces) };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

test("what comes in one turn is begun together, and what comes while the limit is under way gathers", async () => {
  const { add, begun, pieces } = openPump();
  add(1, 2);
  await turn();
  add(3);
  await turn();
  add(4);
  await turn();
  add(5, 6, 7);
  await turn();
  expect(pieces()).toEqual([[1, 2], [3]]);
  begun[0]!.done.resolve();
  await expect.poll(pieces).toEqual([[1, 2], [3], [4, 5, 6]]);
});

test("a piece that fails is told of and holds nothing back", async () => {
  const { add, begun, errors, pieces } = openPump();
  add(1);
  await turn();
  begun[0]!.done.reject("broken");
  add(2);
  await expect.poll(pieces).toEqual([[1], [2]]);
  expect(errors).toEqual(["broken"]);
});

test("a pump that stops waits for what is under way and begins nothing more", async () => {
  const { pump, add, begun, pieces } = openPump();
  add(1);
  await turn();
  let isStopped = false;
  const stopping = pump.stop().then(() => (isStopped = true));
  add(2);
  await turn();
  expect(isStopped).toBe(false);
  begun[0]!.done.resolve();
  await stopping;
  expect(pieces()).toEqual([[1]]);
});
