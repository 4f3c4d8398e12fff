/** How fast logs are taken in: chunks of many logs, each durable before it is answered. */
import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openBlobDirectory } from "../server/src/blobs/directory.ts";
import { openLogStore } from "../server/src/logs/log-store.ts";
import type { SegmentIndex } from "../server/src/logs/segment-index.ts";
import { createId } from "../wire/ids.ts";
import { encodeChunk, type LogChunk, type LogRecord } from "../wire/log-records.ts";
import { median, type Report } from "./figure.ts";

const logs = 512;
const chunksPerLog = 8;
const linesPerChunk = 500;
const runs = 3;

/** Ingest beside the same bytes written raw with as many fsyncs. Both are the median of three runs. */
export async function runLogsBench(): Promise<Report> {
  const chunks = Array.from({ length: chunksPerLog }, (_, index) => makeChunk(index * linesPerChunk));
  const lines = logs * chunksPerLog * linesPerChunk;
  const bytes = logs * chunks.reduce((sum, { data }) => sum + data.length, 0);
  const ingested: number[] = [];
  const raw: number[] = [];
  for (let run = 0; run < runs; run++) {
    const directory = await mkdtemp(join(tmpdir(), "agyn-bench-logs-"));
    try {
      const { seconds, syncs } = await ingest(directory, chunks);
      ingested.push(lines / seconds);
      raw.push(lines / (await writeRaw(directory, bytes, syncs)));
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  }
  const value = Math.round(median(ingested));
  const baseline = { name: "the same bytes written raw with as many fsyncs", value: Math.round(median(raw)) };
  const name = `log ingest, ${logs} logs, ${linesPerChunk} lines a chunk, verified and fsynced before the answer`;
  return {
    figures: [{ name, value, unit: "lines/s", baseline, ratio: value / baseline.value }],
    limit: "CPU: each chunk is decompressed and checked before it is answered; the disk could take more",
  };
}

/** Lines as builds write them: alike, but no two the same. */
function makeChunk(firstLine: number): LogChunk {
  const records = Array.from({ length: linesPerChunk }, (_, index): LogRecord => {
    const number = firstLine + index;
    const text = `[${(number * 2654435761) % 4294967296}] compiling src/module-${number % 97}/part-${number}.ts (${number % 13} ms)`;
    return {
      kind: "line",
      time: 1_700_000_000_000 + number,
      stream: "stdout",
      continued: false,
      bytes: Buffer.from(text),
    };
  });
  return encodeChunk(firstLine, records);
}

async function ingest(directory: string, chunks: readonly LogChunk[]): Promise<{ seconds: number; syncs: number }> {
  const blobs = await openBlobDirectory({ directory: join(directory, "blobs") });
  const store = await openLogStore({ directory: join(directory, "journal"), blobs, segments: createEmptyIndex() });
  const start = performance.now();
  const pushLog = async (): Promise<void> => {
    const log = { workloadId: createId("workload"), fence: 1n };
    for (const chunk of chunks) await store.append({ ...log, ...chunk });
  };
  await Promise.all(Array.from({ length: logs }, pushLog));
  const seconds = (performance.now() - start) / 1000;
  const { syncs } = store;
  await store.close();
  return { seconds, syncs };
}

/** Nothing is sealed while it is measured, so the index is only asked for logs that it does not have. */
function createEmptyIndex(): SegmentIndex {
  return {
    insert: () => Promise.resolve(),
    list: () => Promise.resolve([]),
    markEnded: () => Promise.resolve(),
    endedAt: () => Promise.resolve(undefined),
    delete: () => Promise.resolve(),
  };
}

async function writeRaw(directory: string, bytes: number, syncs: number): Promise<number> {
  const file = await open(join(directory, "raw"), "w");
  const group = Buffer.alloc(Math.ceil(bytes / syncs), "0123456789abcdef");
  const start = performance.now();
  for (let written = 0; written < syncs; written++) {
    await file.write(group);
    await file.datasync();
  }
  const seconds = (performance.now() - start) / 1000;
  await file.close();
  return seconds;
}
