import { spawn } from "node:child_process";
import { readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createId } from "../../wire/ids.ts";
import type { LogStore } from "../../server/src/logs/log-store.ts";
import {
  chunkOf,
  collect,
  endProcess,
  makeDirectory,
  numberedTexts,
  openLogWorld,
  startPostgres,
  until,
} from "./support.ts";
import type { TestPostgres } from "./support.ts";

let database: TestPostgres;

beforeAll(async () => void (database = await startPostgres()), 60_000);
afterAll(async () => await database.stop());

async function readWhole(store: LogStore, workloadId: string): Promise<string[]> {
  await store.end({ workloadId, fence: 1n });
  return await collect(store.follow({ workloadId, fence: 1n, fromLine: 0 }));
}

test("a server killed -9 while it takes lines in has every line that it acknowledged", async () => {
  const directory = await makeDirectory("logs");
  const workloadIds = [1, 2, 3].map(() => createId("workload"));
  const acknowledged = new Map<string, number>();
  for (let round = 0; round < 3; round++) {
    const args = [join(import.meta.dirname, "log-store-writer.ts"), directory, database.directory, ...workloadIds];
    const writer = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
    let said = "";
    for await (const output of writer.stdout) {
      said += String(output);
      if (said.split("\n").length > 600) await endProcess(writer, "SIGKILL");
    }
    for (const [, id, line] of said.matchAll(/^(\S+) (\d+)\n/gm)) acknowledged.set(id!, Number(line));
  }

  const world = await openLogWorld(database.sql, {}, directory);

  for (const workloadId of workloadIds) {
    const texts = await readWhole(world.store, workloadId);
    expect(texts.length).toBeGreaterThanOrEqual(acknowledged.get(workloadId)!);
    expect(texts).toEqual(numberedTexts(texts.length));
  }
  await world.close();
}, 60_000);

test("bad-22: while the blob store fails lines are taken and read, and they are sealed once it is back", async () => {
  const errors: unknown[] = [];
  const world = await openLogWorld(database.sql, { sealRetryMs: 20, onError: (error) => void errors.push(error) });
  const log = { workloadId: createId("workload"), fence: 1n };
  const obstacle = join(world.directory, "blobs", "logs");
  await writeFile(obstacle, "in the way");
  await world.store.append({ ...log, ...chunkOf(0, 10) });
  await world.store.end(log);
  await until("sealing fails", () => errors.length > 1);
  const during = await readWhole(world.store, log.workloadId);

  await rm(obstacle);
  const count = async (): Promise<number> =>
    (await database.sql`select 1 from ended_logs where workload_id = ${log.workloadId}`).length;
  await until("the log is sealed", async () => (await count()) === 1);

  expect(during).toEqual(numberedTexts(10));
  expect(await readWhole(world.store, log.workloadId)).toEqual(during);
  await until("the journal is short", async () => (await readdir(join(world.directory, "journal"))).length <= 2);
  await world.close();
});
