import { mkdtemp, rm } from "node:fs/promises";
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

/** One PostgreSQL for the whole run, with a migrated template from which each file copies its own database. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const directory = await mkdtemp(join(tmpdir(), "agyn-test-"));
  const server = await startEmbeddedPostgres(directory, ["max_connections=300"]);
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
