import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import postgres from "postgres";
import type { EmbeddedPostgres } from "./embedded-postgres.ts";

/** A pool of connections. bigint columns arrive as `bigint`. */
export type Sql = postgres.Sql<{ bigint: bigint }>;
/** A transaction, or the pool. */
export type SqlOrTransaction = Sql | postgres.TransactionSql<{ bigint: bigint }>;

/**
 * SQL without parameters that is part of many statements, made once: a fragment is an object of the driver's that the collection of
 * young garbage never takes, nor what hangs on it.
 */
export function constant(text: string): (sql: SqlOrTransaction) => postgres.PendingQuery<postgres.Row[]> {
  let made: postgres.PendingQuery<postgres.Row[]> | undefined;
  return (sql) => (made ??= sql.unsafe(text));
}

/**
 * Where a statement of a transaction reads from this, each that follows is planned once for whatever it is asked. It is for
 * transactions that go by ids: PostgreSQL would plan these anew every time, since few runs with many jobs look unlike the rest,
 * and a table that grew looks dearer than it was when plans were compared.
 */
export const planningOnce = constant(
  "(select set_config('plan_cache_mode', 'force_generic_plan', true) offset 0) as planning",
);

const migrationLock = 4_171_390_055;
const connectTimeout_s = 10;

/** Why the operator's database cannot be used, in words that name no secret. */
export class DatabaseStartError extends Error {}

/** Where the database is: a URL, or an embedded one. */
export type DatabaseTarget =
  | { kind: "url"; url: string }
  | { kind: "embedded"; connection: EmbeddedPostgres["connection"] };

/** Opens a pool of at most `maximumConnections`. */
export function openDatabase(target: DatabaseTarget, maximumConnections: number): Sql {
  const options = {
    max: maximumConnections,
    connect_timeout: connectTimeout_s,
    types: { bigint: postgres.BigInt },
    // After a vacuum the table of live workloads may count as empty; a batch planned then would scan it for every row.
    connection: { application_name: "agyn", statement_timeout: 30_000, enable_seqscan: "off" },
    onnotice: () => undefined,
  };
  if (target.kind === "embedded") return postgres({ ...options, ...target.connection, path: target.connection.host });
  const refusal = new DatabaseStartError(
    "database_url: not a URL such as postgres://user:password@host:5432/database; what is not plain in a part is written as %40 is for @",
  );
  if (!/^postgres(ql)?:\/\//.test(target.url)) throw refusal;
  try {
    return postgres(target.url, options);
  } catch {
    // What is thrown shows the URL, and the URL holds the password.
    throw refusal;
  }
}

/** Asks the database for a first sign of life. Throws a `DatabaseStartError` where it gives none, or lets nobody in. */
export async function refuseAbsentDatabase(sql: Sql): Promise<void> {
  await sql`select 1`.catch((error: Error) => {
    throw new DatabaseStartError(
      `the database cannot be used: ${error.message}: see to database_url and what it names`,
    );
  });
}

/** Refuses a database that may lose what it has confirmed (I4). */
export async function refuseUnsafeDatabase(sql: Sql): Promise<void> {
  for (const name of ["fsync", "synchronous_commit", "full_page_writes"]) {
    const [row] = await sql<{ value: string }[]>`select current_setting(${name}) as value`;
    if (row?.value === "off")
      throw new DatabaseStartError(
        `the database runs with ${name} = off and may lose what it has confirmed: turn it on`,
      );
  }
}

/** Applies what is missing of `migrations/`, in order, one replica at a time. Returns the schema's version. */
export async function migrate(sql: Sql): Promise<number> {
  const directory = join(import.meta.dirname, "migrations");
  const files = (await readdir(directory)).filter((name) => name.endsWith(".sql")).toSorted();
  const newest = Number(files.at(-1)?.slice(0, 4) ?? 0);
  await sql.begin(async (transaction) => {
    await transaction`set local statement_timeout = 0`;
    await transaction`select pg_advisory_xact_lock(${migrationLock})`;
    await transaction`create table if not exists migration (version integer primary key, name text not null, time timestamptz not null default now())`;
    const applied = await transaction<{ version: number }[]>`select version from migration order by version`;
    const latest = applied.at(-1)?.version ?? 0;
    if (latest > newest)
      throw new DatabaseStartError(
        `the database has schema version ${latest}, this server knows ${newest}: start a newer server`,
      );
    for (const file of files) {
      const version = Number(file.slice(0, 4));
      if (version <= latest) continue;
      await transaction.unsafe(await readFile(join(directory, file), "utf8"));
      await transaction`insert into migration (version, name) values (${version}, ${file})`;
    }
  });
  return newest;
}
