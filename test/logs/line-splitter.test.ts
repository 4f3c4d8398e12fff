import { expect, test } from "vitest";
import { LineSplitter, type LinePiece } from "../../runner/src/line-splitter.ts";

const show = (pieces: readonly LinePiece[]): string[] =>
  pieces.map(({ bytes, continued }) => Buffer.from(bytes).toString("latin1") + (continued ? "…" : ""));
const split = (...inputs: (string | Uint8Array)[]): LinePiece[] => {
  const splitter = new LineSplitter();
  const pieces = inputs.flatMap((input) => splitter.push(typeof input === "string" ? Buffer.from(input) : input, 0));
  return [...pieces, ...splitter.end(0)];
};

test("lines are cut at newlines, wherever the bytes were cut", () => {
  expect(show(split("a\nb", "c\n", "\n", "d"))).toEqual(["a", "bc", "", "d"]);
});

test("bad-39: the carriage return of CRLF and a byte order mark stay", () => {
  expect(show(split("\ufeffa\r\nb\r\n"))).toEqual(["\u00ef\u00bb\u00bfa\r", "b\r"]);
});

test("a line unterminated for 500 ms goes out as a piece, and its end follows", () => {
  const splitter = new LineSplitter();
  splitter.push(Buffer.from("50%"), 1000);
  splitter.push(Buffer.from("60%"), 1300);

  expect(splitter.dueTime).toBe(1500);
  expect(show(splitter.flushDue(1499))).toEqual([]);
  expect(splitter.flushDue(1500)).toEqual([{ time: 1000, continued: true, bytes: Buffer.from("50%60%") }]);
  expect(splitter.push(Buffer.from("\n"), 1600)).toMatchObject([
    { time: 1600, continued: false, bytes: Buffer.from("") },
  ]);
  expect(splitter.dueTime).toBeUndefined();
});

test("a line of exactly 64 KiB is one piece and one byte more makes two", () => {
  const lengths = (length: number): number[] => split(`${"x".repeat(length)}\n`).map(({ bytes }) => bytes.length);

  expect(lengths(65_536)).toEqual([65_536]);
  expect(lengths(65_537)).toEqual([65_536, 1]);
});

test("bad-39: a line of 100 MB goes out in pieces and holds no memory", () => {
  const splitter = new LineSplitter();
  const input = Buffer.alloc(1024 * 1024, "x");
  const before = process.memoryUsage().arrayBuffers;
  let bytes = 0;
  let most = 0;

  for (let megabyte = 0; megabyte < 100; megabyte++) {
    for (const piece of splitter.push(input, 0)) bytes += piece.continued ? piece.bytes.length : NaN;
    most = Math.max(most, splitter.open?.bytes.length ?? 0);
  }

  expect(bytes + (splitter.open?.bytes.length ?? 0)).toBe(100 * 1024 * 1024);
  expect(most).toBeLessThanOrEqual(65_536);
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(40 * 1024 * 1024);
});

test("bad-39: a million empty lines are a million lines", () => {
  expect(split("\n".repeat(1_000_000))).toHaveLength(1_000_000);
});

test("what is held survives the reuse of the buffer it came in", () => {
  const splitter = new LineSplitter();
  const buffer = Buffer.from("held");
  splitter.push(buffer, 0);

  buffer.fill("x");

  expect(show(splitter.push(Buffer.from("\n"), 0))).toEqual(["held"]);
});
