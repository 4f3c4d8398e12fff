import fc from "fast-check";
import { expect, test } from "vitest";
import { displayWidth, padEnd, truncate } from "../../cli/src/display-width.ts";
import { layOutTable } from "../../cli/src/table.ts";

const rows = [
  [{ text: "build-1" }, { text: "enrolled" }, { text: "region=eu, zone=a, disk=large" }],
  [{ text: "東京-2" }, { text: "offline" }, { text: "" }],
];
const headers = ["NAME", "STATE", "LABELS"];

test("columns line up by what a terminal shows, not by characters", () => {
  expect(layOutTable(headers, rows)).toEqual([
    "NAME     STATE     LABELS",
    "build-1  enrolled  region=eu, zone=a, disk=large",
    "東京-2   offline",
  ]);
});

test("a narrow terminal narrows the widest column first", () => {
  expect(layOutTable(headers, rows, 32)).toEqual([
    "NAME     STATE     LABELS",
    "build-1  enrolled  region=eu, z…",
    "東京-2   offline",
  ]);
});

test("a very narrow terminal leaves out the last columns", () => {
  expect(layOutTable(headers, rows, 14)).toEqual(["NAME    STATE", "build…  enrol…", "東京-2  offli…"]);
});

test("a paint does not count as width", () => {
  const painted = [[{ text: "ab", paint: (text: string) => `<${text}>` }, { text: "c" }]];
  expect(layOutTable(["AAAA", "B"], painted)).toEqual(["AAAA  B", "<ab  >  c"]);
});

test("no line is wider than the terminal, whatever the cells hold", () => {
  const cell = fc.string({ unit: "grapheme", maxLength: 60 }).map((text) => ({ text: text.replace(/\p{Cc}/gu, "") }));
  const table = fc.array(fc.array(cell, { minLength: 4, maxLength: 4 }), { maxLength: 5 });
  fc.assert(
    fc.property(table, fc.integer({ min: 6, max: 200 }), (cells, width) => {
      for (const line of layOutTable(["ONE", "TWO", "THREE", "FOUR"], cells, width)) {
        expect(displayWidth(line)).toBeLessThanOrEqual(width);
      }
    }),
  );
});

test("widths follow the terminal: wide, combining and joined characters", () => {
  expect(displayWidth("abc")).toBe(3);
  expect(displayWidth("日本")).toBe(4);
  expect(displayWidth("e\u0301")).toBe(1);
  expect(displayWidth("👩‍👩‍👧")).toBe(2);
});

test("cutting never splits a character and marks the cut", () => {
  expect(truncate("日本語", 4)).toBe("日…");
  expect(truncate("abc", 3)).toBe("abc");
  expect(truncate("abcd", 3)).toBe("ab…");
  expect(padEnd("日", 4)).toBe("日  ");
});
