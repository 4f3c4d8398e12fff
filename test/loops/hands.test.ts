import { expect, test } from "vitest";
import { createHands } from "../../server/src/loops/hands.ts";

/** Hands whose pieces of work end when the test says so. */
function openHands(count: number) {
  const freed: number[] = [];
  const pieces: PromiseWithResolvers<void>[] = [];
  const hands = createHands(count, () => freed.push(hands.free));
  const begin = (whom: string) => {
    const piece = Promise.withResolvers<void>();
    pieces.push(piece);
    hands.begin(whom, () => piece.promise);
  };
  return { hands, begin, pieces, freed };
}

test("hands are counted by whom they work for, and free again once their work has ended", async () => {
  const { hands, begin, pieces, freed } = openHands(3);
  for (const whom of ["org_a", "org_a", "org_b"]) begin(whom);
  expect([hands.free, hands.underWay()]).toEqual([0, { org_a: 2, org_b: 1 }]);

  pieces[0]!.resolve();
  await expect.poll(() => freed).toEqual([1]);

  expect(hands.underWay()).toEqual({ org_a: 1, org_b: 1 });
  for (const piece of pieces) piece.resolve();
  await hands.stop(60_000);
});

test("stopped hands take nothing more, and end with what is under way", async () => {
  const { hands, begin, pieces, freed } = openHands(2);
  begin("org_a");
  const stopping = hands.stop(60_000);
  expect(hands.free).toBe(0);

  pieces[0]!.resolve();
  await stopping;

  expect(freed).toEqual([0]);
});

test("stopped hands wait no longer than the grace", async () => {
  const { hands, begin, pieces } = openHands(1);
  begin("org_a");

  await hands.stop(1);

  expect(hands.underWay()).toEqual({ org_a: 1 });
  pieces[0]!.resolve();
});
