import { expect, test } from "vitest";
import { isTimeZone, nextTime, parseCron, type Cron } from "../../server/src/domain/cron.ts";

function cron(text: string): Cron {
  const parsed = parseCron(text);
  if ("error" in parsed) throw new Error(parsed.error);
  return parsed;
}

/** The next `count` times after one, as ISO texts in UTC. */
function times(text: string, after: string, { zone = "UTC", count = 1 } = {}): (string | undefined)[] {
  let at: number | undefined = Date.parse(after);
  return Array.from({ length: count }, () => {
    at = at === undefined ? undefined : nextTime(cron(text), zone, at);
    return at === undefined ? undefined : new Date(at).toISOString().replace(":00.000Z", "Z");
  });
}

test.each([
  ["0 3 * * *", "2026-01-01T03:00Z", ["2026-01-02T03:00Z"]],
  ["*/15 * * * *", "2026-01-01T00:07Z", ["2026-01-01T00:15Z", "2026-01-01T00:30Z"]],
  ["0 9-17/4 * * mon-fri", "2026-01-02T14:00Z", ["2026-01-02T17:00Z", "2026-01-05T09:00Z"]],
  ["0 0 29 feb *", "2026-01-01T00:00Z", ["2028-02-29T00:00Z", "2032-02-29T00:00Z"]],
  ["0 0 29 2 *", "2096-03-01T00:00Z", ["2104-02-29T00:00Z"]],
  ["0 0 1 * sun", "2026-01-01T00:00Z", ["2026-01-04T00:00Z", "2026-01-11T00:00Z"]],
  ["0 0 * * 7", "2026-01-01T00:00Z", ["2026-01-04T00:00Z"]],
  ["5,1 0 1 JAN *", "2026-01-01T00:01Z", ["2026-01-01T00:05Z", "2027-01-01T00:01Z"]],
])("%s after %s is %j", (text, after, expected) => {
  expect(times(text, after, { count: expected.length })).toEqual(expected);
});

test.each([
  ["* * 31 2 *", "never comes due"],
  ["* * 31 4,6,9,11 *", "never comes due"],
  ["* * * *", "4 fields"],
  ["60 * * * *", '"60" is not between 0 and 59'],
  ["*/0 * * * *", "step of 0"],
  ["5-1 * * * *", "backwards"],
  ["* * 0 * *", '"0" is not between 1 and 31'],
  ["* * * * 8", "day of the week"],
  ["@daily", "1 fields"],
  ["-1 * * * *", "none of"],
  ["1.5 * * * *", "none of"],
  ["* * * * * *", "6 fields"],
  ["99999999999999999999 * * * *", "none of"],
  ["*-5 * * * *", "no range"],
])("bad-28: %s is refused: %s", (text, expected) => {
  const parsed = parseCron(text);
  expect("error" in parsed && parsed.error).toContain(expected);
});

test("bad-28: 31 February or a Sunday comes due on Sundays", () => {
  expect(times("0 0 31 2 sun", "2026-02-01T00:00Z")).toEqual(["2026-02-08T00:00Z"]);
});

test("bad-28: nothing comes due beyond the year 9999", () => {
  expect(times("0 0 1 1 *", "9999-06-01T00:00Z")).toEqual([undefined]);
});

const berlin = { zone: "Europe/Berlin" };

test("bad-28: a time that a clock set forward leaves out comes due when the clock is set, once", () => {
  // On 29 March 2026, 02:00 to 03:00 is not there: 01:00 UTC.
  expect(times("30 2 * * *", "2026-03-28T12:00Z", { ...berlin, count: 2 })).toEqual([
    "2026-03-29T01:00Z",
    "2026-03-30T00:30Z",
  ]);
  expect(times("15,30 2 29 3 *", "2026-03-28T12:00Z", { ...berlin, count: 2 })).toEqual([
    "2026-03-29T01:00Z",
    "2027-03-29T00:15Z",
  ]);
  expect(times("*/30 * * * *", "2026-03-29T00:30Z", { ...berlin, count: 2 })).toEqual([
    "2026-03-29T01:00Z",
    "2026-03-29T01:30Z",
  ]);
});

test("bad-28: a time that a clock set back shows twice comes due once, and twice where the hour is *", () => {
  // On 25 October 2026, 02:00 to 03:00 is there twice: from 00:00 and from 01:00 UTC.
  expect(times("30 2 * * *", "2026-10-24T12:00Z", { ...berlin, count: 2 })).toEqual([
    "2026-10-25T00:30Z",
    "2026-10-26T01:30Z",
  ]);
  expect(times("30 * * * *", "2026-10-25T00:00Z", { ...berlin, count: 2 })).toEqual([
    "2026-10-25T00:30Z",
    "2026-10-25T01:30Z",
  ]);
});

test("a zone whose days do not begin at midnight, or begin twice, is followed", () => {
  // Beirut, 29 March 2026: midnight is left out.
  expect(times("0 0 * * *", "2026-03-28T12:00Z", { zone: "Asia/Beirut" })).toEqual(["2026-03-28T22:00Z"]);
  expect(times("45 23 * * *", "2026-01-01T00:00Z", { zone: "Asia/Kathmandu" })).toEqual(["2026-01-01T18:00Z"]);
});

test("only names of zones are time zones", () => {
  expect(["UTC", "Europe/Berlin"].map(isTimeZone)).toEqual([true, true]);
  expect(["Mars/Olympus", "+02:00", "", "../etc"].map(isTimeZone)).toEqual([false, false, false, false]);
});
