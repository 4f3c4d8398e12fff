import { randomBytes } from "node:crypto";
import postgres from "postgres";
import { inject } from "vitest";
import { openDatabase, type DatabaseTarget, type Sql } from "../../server/src/store/database.ts";

/** A fresh, migrated database of the run's PostgreSQL. */
export interface TestDatabase {
  readonly target: DatabaseTarget;
  readonly sql: Sql;
  /** Closes `sql` and drops the database. */
  drop(): Promise<void>;
}

/** Copies the migrated template. */
export async function createTestDatabase(): Promise<TestDatabase> {
  const host = inject("databaseSocket");
  const connection = { host, port: 5432, database: "agyn", username: "agyn", password: inject("databasePassword") };
  const name = `test_${randomBytes(6).toString("hex")}`;
  const administrator = postgres({
    ...connection,
    path: host,
    database: "postgres",
    max: 1,
    onnotice: () => undefined,
  });
  await administrator`select pg_advisory_lock(1)`;
  await administrator`create database ${administrator(name)} template agyn strategy file_copy`;
  await administrator`select pg_advisory_unlock(1)`;
  const target: DatabaseTarget = { kind: "embedded", connection: { ...connection, database: name } };
  const sql = openDatabase(target, 5);
  return {
    target,
    sql,
    async drop() {
      await sql.end({ timeout: 2 });
      await administrator`drop database ${administrator(name)} with (force)`;
      await administrator.end({ timeout: 2 });
    },
  };
}
