/** The PostgreSQL of a run, with the settings that the product gives its own, and a database for each benchmark. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import postgres from "postgres";
import { migrate, openDatabase, type DatabaseTarget, type Sql } from "../server/src/store/database.ts";
import { startEmbeddedPostgres } from "../server/src/store/embedded-postgres.ts";
import { median } from "./figure.ts";

export interface BenchPostgres extends AsyncDisposable {
  /** Makes an empty database. */
  createDatabase(name: string): Promise<BenchDatabase>;
}

export type BenchDatabase = {
  target: DatabaseTarget;
  /** For clients other than ours. */
  url: string;
};

export async function startBenchPostgres(): Promise<BenchPostgres> {
  const directory = await mkdtemp(join(tmpdir(), "agyn-bench-"));
  const embedded = await startEmbeddedPostgres(directory);
  const { host, username, password } = embedded.connection;
  const administrate = async (act: (sql: postgres.Sql) => Promise<unknown>) => {
    const sql = postgres({ ...embedded.connection, path: host, max: 1, onnotice: () => undefined });
    await act(sql);
    await sql.end({ timeout: 5 });
  };
  const stop = async () => {
    await embedded.stop();
    await rm(directory, { recursive: true, force: true });
  };
  await administrate(ageLog).catch(async (error: unknown) => {
    await stop();
    throw error;
  });
  return {
    async createDatabase(name) {
      const connection = { ...embedded.connection, database: name };
      await administrate((sql) => sql`create database ${sql(name)}`);
      const socketDirectory = encodeURIComponent(join(host, ".."));
      return {
        target: { kind: "embedded", connection },
        url: `postgres://${username}:${encodeURIComponent(password)}@${socketDirectory}/${name}`,
      };
    },
    [Symbol.asyncDispose]: stop,
  };
}

const logPiece_bytes = 50_000_000;
/** About what is written between two checkpoints of a busy server. */
const logPieces = 20;

/**
 * Writes the log as far as a server has that has run for a while: from then on its files are used again. A new server fills each with
 * zeros first, once in its life, and that would be measured in whatever comes first.
 */
async function ageLog(sql: postgres.Sql): Promise<void> {
  for (let piece = 0; piece < logPieces; piece++)
    await sql`select pg_logical_emit_message(false, '', repeat('x', ${logPiece_bytes}))`;
  await sql`checkpoint`;
}

/** A migrated database with our own schema, where this process may place. */
export async function openStore({ target }: BenchDatabase, connections: number): Promise<Sql> {
  const sql = openDatabase(target, connections);
  await migrate(sql);
  return sql;
}

const commits = 400;

/**
 * Milliseconds of one durable commit of one row: the median. One goes right after the other, or after a pause, which leaves a machine's
 * caches and its processor's clock to others, as work at a low rate does.
 */
export async function measureCommit_ms({ target }: BenchDatabase, pause_ms = 0): Promise<number> {
  const sql = openDatabase(target, 1);
  await sql`create table if not exists bench_commit (number integer primary key, time timestamptz not null)`;
  const times: number[] = [];
  for (let number = 0; number < commits; number++) {
    if (pause_ms > 0) await delay(pause_ms);
    const start = performance.now();
    await sql`insert into bench_commit values (${number}, now()) on conflict (number) do update set time = now()`;
    times.push(performance.now() - start);
  }
  await sql.end({ timeout: 5 });
  return median(times);
}
