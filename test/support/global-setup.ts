import { rmSync } from "node:fs";
import { mkdtemp, rm, statfs } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { migrate, openDatabase } from "../../server/src/store/database.ts";
import { startEmbeddedPostgres } from "../../server/src/store/embedded-postgres.ts";

declare module "vitest" {
  interface ProvidedContext {
    databaseSocket: string;
    databasePassword: string;
  }
}

const memory = "/dev/shm";
const needed_bytes = 4 * 2 ** 30;
// Databases are copied as files, between two checkpoints, so that little of the write-ahead log is ever of use.
const settings = ["max_connections=300", "max_wal_size=256MB"];

/** One PostgreSQL for the whole run, with a migrated template from which each file copies its own database. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const directory = await mkdtemp(join(await placeOfDatabases(), "agyn-test-"));
  leaveNothing(directory);
  const server = await startEmbeddedPostgres(directory, settings);
  const sql = openDatabase({ kind: "embedded", connection: server.connection }, 1);
  await migrate(sql);
  await sql.end();
  project.provide("databaseSocket", server.connection.host);
  project.provide("databasePassword", server.connection.password);
  return async () => {
    await server.stop();
    await rm(directory, { recursive: true, force: true });
  };
}

/** Removes the directory when the run ends, also when it is interrupted, which by itself would be an end without "exit". */
function leaveNothing(directory: string): void {
  process.once("exit", () => rmSync(directory, { recursive: true, force: true, maxRetries: 10 }));
  process.once("SIGINT", () => process.exit(130));
  process.once("SIGTERM", () => process.exit(143));
}

/** Memory where there is room for it: a run makes hundreds of databases, and files there are synced for nothing. */
async function placeOfDatabases(): Promise<string> {
  const { bavail, bsize } = await statfs(memory).catch(() => ({ bavail: 0, bsize: 0 }));
  return bavail * bsize < needed_bytes ? tmpdir() : memory;
}
