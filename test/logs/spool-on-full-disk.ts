/** Spools on a disk that is full for a while, and prints what comes out: run where the directory is a tiny disk. */
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openSpool } from "../../runner/src/spool.ts";
import { decodeChunk, maximumChunkBytes } from "../../wire/log-records.ts";

const disk = process.argv[2]!;
const ballast = join(disk, "ballast");
const spool = openSpool({ directory: join(disk, "spool"), segmentBytes: 32 * 1024 });
const fill = (from: number, to: number): void => {
  for (let line = from; line < to; line++)
    spool.append("stdout", Buffer.from(`line ${line} ${"x".repeat(90)}\n`), line);
};

writeFileSync(ballast, Buffer.alloc(512 * 1024));
spool.append("stderr", Buffer.from("open "), 0);
fill(0, 10_000);
rmSync(ballast);
spool.append("stderr", Buffer.from("line\n"), 10_000);
fill(10_001, 10_101);
spool.end(10_101);

const summary: unknown[] = [];
for (let chunk = spool.nextChunk(maximumChunkBytes); chunk !== undefined; chunk = spool.nextChunk(maximumChunkBytes)) {
  for (const record of decodeChunk(chunk)) {
    if (record.kind === "gap") summary.push({ line: record.line, droppedLines: record.droppedLines });
    else summary.push({ line: record.line, text: Buffer.from(record.bytes).toString().slice(0, 10).trim() });
  }
}
process.stdout.write(JSON.stringify({ nextLine: spool.nextLine, isEnded: spool.isEnded, summary }));
