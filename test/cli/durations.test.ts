import { expect, test } from "vitest";
import { formatDuration, fromProtoDuration, parseDuration, toProtoDuration } from "../../cli/src/durations.ts";

test.each([
  ["250ms", 250],
  ["90s", 90_000],
  ["10m", 600_000],
  ["1h30m", 5_400_000],
  ["1.5h", 5_400_000],
  ["2d", 172_800_000],
  ["1d2h3m4s5ms", 93_784_005],
])("the duration %s is %d ms", (text, milliseconds) => {
  expect(parseDuration(text)).toBe(milliseconds);
});

test.each([
  ["", "a duration is empty"],
  ["90", '"90" lacks a unit, such as "90s" or "90m"'],
  ["10x", "expected a number with one of ms, s, m, h, d at position 1"],
  ["1h!", "at position 3"],
  ["5m1h", "units go from the largest to the smallest"],
  ["1s1s", "each once"],
  ["-5s", "at position 1"],
])('the duration "%s" is refused with its fault', (text, fault) => {
  expect(() => parseDuration(text)).toThrow(fault);
});

test.each([
  [0, "0ms"],
  [850, "850ms"],
  [1500, "1.5s"],
  [12_400, "12s"],
  [60_000, "1m"],
  [5_400_000, "1h30m"],
  [3_605_000, "1h"],
  [176_400_000, "2d1h"],
])("%d ms read as %s", (milliseconds, text) => {
  expect(formatDuration(milliseconds)).toBe(text);
});

test("a duration survives the way to protobuf and back", () => {
  expect(fromProtoDuration(toProtoDuration(1234))).toBe(1234);
  expect(toProtoDuration(1500)).toMatchObject({ seconds: 1n, nanos: 500_000_000 });
});
