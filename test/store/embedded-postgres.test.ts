import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { PostgresStartError, startEmbeddedPostgres } from "../../server/src/store/embedded-postgres.ts";
import { until } from "../support/world.ts";

test("a database that ends long after its start harms nobody, also when its log is gone", async () => {
  const directory = await mkdtemp(join(tmpdir(), "agyn-postgres-"));
  const postgres = await startEmbeddedPostgres(directory);
  const files = await readdir(directory, { recursive: true });
  const pidFile = files.find((name) => name.endsWith("postmaster.pid"))!;
  const pid = Number((await readFile(join(directory, pidFile), "utf8")).split("\n", 1)[0]);
  await rm(join(directory, "postgres.log"));

  await postgres.stop();
  await until("its process is reaped", () => !existsSync(`/proc/${pid}`));
  // Whoever hears of it has heard of it one turn later.
  await new Promise((resolve) => setImmediate(resolve));

  expect(existsSync(join(directory, "postgres.log"))).toBe(false);
  await rm(directory, { recursive: true, force: true });
});

test("a database whose password is gone is refused by the file that is missing, and its bytes stay", async () => {
  const directory = await mkdtemp(join(tmpdir(), "agyn-postgres-"));
  await (await startEmbeddedPostgres(directory)).stop();
  const password = join(directory, "password");
  await rm(password);

  const refused = startEmbeddedPostgres(directory);

  await expect(refused).rejects.toThrow(PostgresStartError);
  await expect(refused).rejects.toThrow(`${password}, cannot be read (ENOENT): put it back`);
  expect(existsSync(join(directory, "data", "PG_VERSION"))).toBe(true);
  await rm(directory, { recursive: true, force: true });
});

test("a database that a killed start was making is made anew, and nothing is left of the other", async () => {
  const directory = await mkdtemp(join(tmpdir(), "agyn-postgres-"));
  await mkdir(join(directory, "making-a1b2c3d4"));
  await writeFile(join(directory, "making-a1b2c3d4", "PG_VERSION"), "18\n");

  const postgres = await startEmbeddedPostgres(directory);

  expect((await readdir(directory)).filter((name) => name.startsWith("making-"))).toEqual([]);
  await postgres.stop();
  await rm(directory, { recursive: true, force: true });
});

test("a database of which a file is missing is refused, and never made anew in its place", async () => {
  const directory = await mkdtemp(join(tmpdir(), "agyn-postgres-"));
  await (await startEmbeddedPostgres(directory)).stop();
  await rm(join(directory, "data", "PG_VERSION"));

  await expect(startEmbeddedPostgres(directory)).rejects.toThrow(PostgresStartError);

  expect(existsSync(join(directory, "data", "global", "pg_control"))).toBe(true);
  await rm(directory, { recursive: true, force: true });
});
