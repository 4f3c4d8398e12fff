import fc from "fast-check";
import { expect, test } from "vitest";
import { createRunTimes, estimateWait, furthestPlace, type Kind } from "../../server/src/domain/wait-estimate.ts";

const kind = (definition: string): Kind => ({ organizationId: "org", projectId: "prj", definition });
const test1 = kind("test");
const build = kind("build");

function timesOf(kinds: readonly [Kind, readonly number[]][]) {
  const times = createRunTimes();
  for (const [one, all] of kinds) for (const time_ms of all) times.note(one, time_ms);
  return times;
}

const steady = timesOf([
  [test1, [10, 20, 30, 40, 100]],
  [build, [60, 60, 60, 60, 60]],
]);

test("a job waits for those before it and half of those that run, as many at a time as run", () => {
  const estimate = estimateWait(steady, test1, { before: [test1, build], running: [build, build] });

  expect(estimate).toEqual({ low_ms: 65, middle_ms: 75, high_ms: 110, samples: 10 });
});

test.each<[string, Kind, Kind[], Kind[]]>([
  ["of the job's own kind too few have ended", kind("new"), [], [build]],
  ["of one before it too few have ended", test1, [kind("new")], [build]],
  ["of one that runs too few have ended", test1, [], [kind("new")]],
  ["nothing runs that it could wait for", test1, [build], []],
  ["too many are before it", test1, Array.from({ length: furthestPlace + 1 }, () => build), [build]],
])("there is no estimate where %s", (_where, one, before, running) => {
  expect(estimateWait(steady, one, { before, running })).toBeUndefined();
});

test("four ended jobs are too few, and the fifth is enough", () => {
  const times = timesOf([[test1, [1, 2, 3, 4]]]);
  expect(times.quantilesOf(test1)).toBeUndefined();
  times.note(test1, 5);

  expect(times.quantilesOf(test1)).toEqual({ low_ms: 1, middle_ms: 3, high_ms: 5, samples: 5 });
});

test("of each kind the last fifty times count, and kinds of other projects do not", () => {
  const times = timesOf([[test1, [...Array.from({ length: 50 }, () => 1000), ...Array.from({ length: 50 }, () => 1)]]]);

  expect(times.quantilesOf(test1)).toMatchObject({ high_ms: 1, samples: 50 });
  expect(times.quantilesOf({ ...test1, projectId: "other" })).toBeUndefined();
});

test("the low is never above the middle, nor the middle above the high", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(), { minLength: 5, maxLength: 60 }), fc.nat(20), (all, before) => {
      const times = timesOf([[test1, all]]);
      const waiting = Array.from({ length: before }, () => test1);
      const { low_ms, middle_ms, high_ms } = estimateWait(times, test1, { before: waiting, running: [test1] })!;
      expect(low_ms <= middle_ms && middle_ms <= high_ms).toBe(true);
    }),
  );
});
