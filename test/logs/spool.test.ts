import { spawn } from "node:child_process";
import { appendFile, readdir, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openSpool, type Spool } from "../../runner/src/spool.ts";
import { decodeChunk, maximumChunkBytes, type NumberedRecord } from "../../wire/log-records.ts";
import { endProcess, makeDirectory, textsOf } from "./support.ts";

let directory: string;
let spool: Spool;

beforeEach(async () => {
  directory = await makeDirectory("spool");
  spool = openSpool({ directory });
});
afterEach(async () => {
  spool.close();
  await rm(directory, { recursive: true, force: true });
});

/** Everything the spool gives out from where it stands. */
function drain(maximumBytes = maximumChunkBytes): NumberedRecord[] {
  const records: NumberedRecord[] = [];
  for (let chunk = spool.nextChunk(maximumBytes); chunk !== undefined; chunk = spool.nextChunk(maximumBytes)) {
    records.push(...decodeChunk(chunk));
  }
  return records;
}

const texts = (records: readonly NumberedRecord[]): string[] =>
  records.map((record) => (record.kind === "gap" ? "gap" : Buffer.from(record.bytes).toString()));

function reopen(options: { maximumBytes?: number; segmentBytes?: number } = {}): void {
  spool.close();
  spool = openSpool({ directory, ...options });
}

function fill(lines: number, from = 0): void {
  for (let line = from; line < from + lines; line++)
    spool.append("stdout", Buffer.from(`line ${line} ${"x".repeat(90)}\n`), line);
}

test("lines of all streams share one numbering, in the order in which they end", () => {
  spool.append("stdout", Buffer.from("a1\na"), 10);
  spool.append("stderr", Buffer.from("e1\n"), 20);
  spool.append("stdout", Buffer.from("2\n"), 30);

  expect(drain()).toMatchObject([
    { line: 0, time: 10, stream: "stdout", bytes: Buffer.from("a1") },
    { line: 1, time: 20, stream: "stderr", bytes: Buffer.from("e1") },
    { line: 2, time: 20, stream: "stdout", bytes: Buffer.from("a2") },
  ]);
});

test("a reopened spool goes on inside a line, with the same numbers", () => {
  spool.append("stdout", Buffer.from("one\ntw"), 1);
  reopen();
  spool.append("stdout", Buffer.from("o\n"), 2);
  spool.end(3);
  reopen();

  expect(texts(drain())).toEqual(["one", "two"]);
  expect(spool).toMatchObject({ nextLine: 2, isEnded: true, isDrained: false });
});

test("open lines go out after 500 ms and at the end", () => {
  spool.append("stdout", Buffer.from("prompt> "), 1000);
  expect(spool.dueTime).toBe(1500);
  spool.flush(1500);
  spool.append("stdout", Buffer.from("answer"), 1600);
  spool.end(1700);

  expect(drain()).toMatchObject([
    { continued: true, bytes: Buffer.from("prompt> ") },
    { continued: false, bytes: Buffer.from("answer") },
  ]);
});

test("it is drained when it has ended and all is acknowledged", () => {
  fill(3);
  drain();
  spool.end(9);
  spool.acknowledge(2);
  expect(spool.isDrained).toBe(false);

  spool.acknowledge(3);

  expect(spool.isDrained).toBe(true);
  expect(() => spool.append("stdout", Buffer.from("x"), 10)).toThrow(/has ended at line 3/);
});

test("acknowledged lines free their space on disk", async () => {
  reopen({ segmentBytes: 4096 });
  fill(1000);
  const full = spool.sizeBytes;
  drain();

  spool.acknowledge(1000);

  expect(full).toBeGreaterThan(90_000);
  expect(spool.sizeBytes).toBeLessThan(8192);
  expect(await readdir(directory)).toHaveLength(1);
});

test("a rewind gives the same lines again, also what lay in a freed segment as a gap", () => {
  reopen({ segmentBytes: 4096 });
  fill(100);
  drain();
  spool.rewindTo(90);
  expect(texts(drain()).map((text) => text.slice(0, 7))).toEqual(
    Array.from({ length: 10 }, (_, n) => `line ${90 + n}`),
  );

  spool.rewindTo(0);

  const [gap, ...rest] = drain();
  expect(gap).toMatchObject({ kind: "gap", line: 0 });
  expect(rest.at(-1)?.line).toBe(99);
});

test("a server that has more than a machine kept moves the numbering on", () => {
  fill(10);

  spool.rewindTo(25);
  spool.append("system", Buffer.from("the machine restarted\n"), 50);

  expect(drain()).toMatchObject([{ line: 25, bytes: Buffer.from("the machine restarted") }]);
});

test("past the bound the middle is dropped, and a gap says how many lines and bytes", () => {
  reopen({ maximumBytes: 64 * 1024, segmentBytes: 8 * 1024 });
  fill(5000);

  const records = drain();

  expect(spool.sizeBytes).toBeLessThan(80 * 1024);
  const gaps = records.filter((record) => record.kind === "gap");
  const kept = records.filter((record) => record.kind === "line");
  expect(gaps).toHaveLength(1);
  expect(kept.length + gaps[0]!.droppedLines).toBe(5000);
  expect(kept.at(0)?.line).toBe(0);
  expect(kept.at(-1)?.line).toBe(4999);
  const bytes = kept.reduce((sum, record) => sum + record.bytes.length, 0);
  expect(bytes + gaps[0]!.droppedBytes).toBe(
    Array.from({ length: 5000 }, (_, n) => `line ${n} `.length + 90).reduce((a, b) => a + b),
  );
});

test("a gap is the same after a restart", () => {
  reopen({ maximumBytes: 64 * 1024, segmentBytes: 8 * 1024 });
  fill(2000);
  const before = drain();

  reopen({ maximumBytes: 64 * 1024, segmentBytes: 8 * 1024 });

  expect(drain()).toEqual(before);
});

test("a torn last frame is passed over and the lines before it stay", async () => {
  fill(10);
  const file = join(directory, (await readdir(directory)).at(-1)!);
  const whole = spool.sizeBytes;
  fill(1, 10);
  spool.close();
  await truncate(file, whole + 20);

  reopen();
  spool.append("stdout", Buffer.from("after\n"), 99);

  expect(texts(drain()).slice(9)).toEqual([`line 9 ${"x".repeat(90)}`, "after"]);
});

test("a file that was begun and a foreign one do not hinder the opening", async () => {
  fill(3);
  spool.close();
  await writeFile(join(directory, "00000002.seg"), "agyn");
  await appendFile(join(directory, "notes.txt"), "mine");

  reopen();

  expect(drain()).toHaveLength(3);
});

test("a writer killed -9 in the middle of writing loses no line that an append took", async () => {
  for (let round = 0; round < 3; round++) {
    const writer = spawn(process.execPath, [join(import.meta.dirname, "spool-writer.ts"), directory], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let said = "";
    for await (const output of writer.stdout) {
      said += String(output);
      if (said.length > 5000) await endProcess(writer, "SIGKILL");
    }
    const last = Number(said.slice(0, said.lastIndexOf("\n")).split("\n").at(-1));

    reopen();
    const records = drain();

    expect(records.length).toBeGreaterThan(last);
    records.forEach((record, number) =>
      expect(texts([record])[0]).toMatch(new RegExp(`^(line \\d+)?line ${number}-*$`)),
    );
    spool.close();
  }
}, 30_000);

test("a burst of 10 MB comes out in order", () => {
  const lines = Array.from({ length: 100_000 }, (_, number) => `${number} ${"y".repeat(98)}`);
  const bytes = Buffer.from(`${lines.join("\n")}\n`);
  for (let start = 0; start < bytes.length; start += 65_536)
    spool.append("stdout", bytes.subarray(start, start + 65_536), 1);

  expect(texts(drain(256 * 1024))).toEqual(lines);
});

test("bad-39: a million empty lines are kept and numbered", () => {
  spool.append("stdout", Buffer.from("\n".repeat(1_000_000)), 1);

  expect(spool.nextLine).toBe(1_000_000);
  expect(drain().at(-1)?.line).toBe(999_999);
});

test("bad-39: invalid UTF-8 and a code point cut at a chunk's border come out byte for byte", () => {
  const bytes = Buffer.concat([Buffer.alloc(65_535, "a"), Buffer.from("ü€"), Buffer.from([0xff, 0xfe, 0xc3, 0x0a])]);
  spool.append("stdout", bytes, 1);

  const records = drain(1);

  expect(records).toMatchObject([{ continued: true }, { continued: false }]);
  expect(Buffer.concat(records.map((record) => (record.kind === "line" ? record.bytes : Buffer.alloc(0))))).toEqual(
    bytes.subarray(0, -1),
  );
});

test("a chunk is no larger than asked for", () => {
  fill(10_000);

  const chunk = spool.nextChunk(100_000)!;

  expect(chunk.size).toBeLessThanOrEqual(100_000);
  expect(textsOf([chunk])).toHaveLength(chunk.count);
});
