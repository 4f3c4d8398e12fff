import { appendFileSync, readdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import type { HeldResult, Placement } from "../../runner/src/holding.ts";
import { openHoldings } from "../../runner/src/holdings.ts";
import { resultWithout } from "../../runner/src/results.ts";
import { controlPlaneOfTest, runnerOfTest, temporaryDirectory } from "./world.ts";

/** Closed at the end of the test, where the test does not. */
async function openedHoldings(directory: string) {
  const holdings = await openHoldings({ directory });
  onTestFinished(() => holdings.close());
  return holdings;
}

function placement(fence: bigint): Placement {
  return {
    workloadId: "wkl_aaaaaaaaaaaaaaaa",
    fence,
    executor: "process",
    resources: { slots: 1 },
    retriedWhenLost: true,
    lostAfterMs: 600_000,
    graceMs: 10_000,
  };
}

const result: HeldResult = resultWithout("exited", "exited with code 0");

test("what was recorded is there again, with its result, in the next process", async () => {
  const directory = temporaryDirectory();
  const holdings = await openedHoldings(directory);
  await Promise.all([holdings.record(placement(1n)), holdings.record(placement(2n ** 62n))]);
  holdings.noteCompleted(placement(1n), result);
  const stop = { cause: "lost", graceMs: 5, reason: "no contact" } as const;
  holdings.noteStopped(placement(1n), stop);
  holdings.noteContact({ bootId: "b", bootTimeMs: 5, times: { heartbeatIntervalMs: 1, lossMarginMs: 2 } });
  await holdings.close();

  const later = await openedHoldings(directory);

  expect(later.list()).toEqual([
    { placement: placement(1n), stop, result, acknowledged: false },
    { placement: placement(2n ** 62n), stop: undefined, result: undefined, acknowledged: false },
  ]);
  expect(later.contact).toMatchObject({ bootId: "b", bootTimeMs: 5 });
  await later.close();
});

test("what was removed stays away and takes no room", async () => {
  const directory = temporaryDirectory();
  const holdings = await openedHoldings(directory);
  await holdings.record(placement(1n));
  holdings.remove(placement(1n));
  await holdings.close();

  const later = await openedHoldings(directory);
  await later.close();

  expect(later.list()).toEqual([]);
  expect(statSync(join(directory, "holdings.jsonl")).size).toBe(0);
});

test("a torn last line is left out, and what follows it is kept", async () => {
  const directory = temporaryDirectory();
  const holdings = await openedHoldings(directory);
  await holdings.record(placement(1n));
  await holdings.close();
  appendFileSync(join(directory, "holdings.jsonl"), '{"kind":"gone","key":"wkl_aaaa');

  const later = await openedHoldings(directory);
  await later.record(placement(2n));
  await later.close();

  expect((await openedHoldings(directory)).list().map(({ placement: { fence } }) => fence)).toEqual([1n, 2n]);
});

test("a placement is on disk when its recording resolves", async () => {
  const directory = temporaryDirectory();
  const holdings = await openedHoldings(directory);

  await holdings.record(placement(3n));

  expect(readFileSync(join(directory, "holdings.jsonl"), "utf8")).toContain('"fence":"3"');
  await holdings.close();
});

test("a placement that cannot be recorded is refused and not held", async () => {
  const holdings = await openedHoldings(temporaryDirectory());
  await holdings.close();

  await expect(holdings.record(placement(1n))).rejects.toThrow("is closed");
  expect(holdings.list()).toEqual([]);
});

test("a runner that cannot take up what it held keeps no file of its directory open", async () => {
  const directory = temporaryDirectory();
  const holdings = await openedHoldings(directory);
  await holdings.record(placement(1n));
  await holdings.close();
  writeFileSync(join(directory, "spools"), "where a directory is needed");

  const started = runnerOfTest(await controlPlaneOfTest(), { dataDirectory: directory });

  await expect(started).rejects.toThrow("spools");
  expect(openFilesBelow(directory)).toEqual([]);
});

function openFilesBelow(directory: string): string[] {
  const paths = readdirSync("/proc/self/fd").map((file) => {
    try {
      return readlinkSync(`/proc/self/fd/${file}`);
    } catch {
      return "";
    }
  });
  return paths.filter((path) => path.startsWith(directory));
}
