import { expect, test } from "vitest";
import { callAt } from "../../server/src/sessions/call-at.ts";

test("what is due after more than one timer's time is called then, and not before", async () => {
  const time = new Date(Date.now() + 200);
  const { promise, resolve } = Promise.withResolvers<number>();

  callAt(time, () => resolve(Date.now()), 30);

  expect(await promise).toBeGreaterThanOrEqual(time.getTime());
});

test("what is due in ten years is not called at once, and what is cancelled never", async () => {
  const called: string[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  const cancelFar = callAt(new Date(Date.now() + 10 * 365 * 86_400_000), () => called.push("far"));
  const cancelNear = callAt(new Date(Date.now() + 20), () => called.push("near"), 5);
  callAt(new Date(Date.now() + 60), resolve);

  cancelNear();
  await promise;

  expect(called).toEqual([]);
  cancelFar();
});
