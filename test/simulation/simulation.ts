import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openBlobDirectory } from "../../server/src/blobs/directory.ts";
import { openDatabase } from "../../server/src/store/database.ts";
import { createTestDatabase } from "../support/postgres.ts";
import { createChaos } from "./chaos.ts";
import { createInvariants } from "./invariants.ts";
import { createReplica } from "./open-replica.ts";
import { createRunInvariants } from "./run-invariants.ts";
import type { Replica } from "./replica.ts";
import type { Simulation } from "./world.ts";
import { seededRandom } from "../support/seeded-random.ts";
import { createDatabaseClock, openVirtualTime, putOnVirtualTime } from "./virtual-time.ts";

const remembered = 4000;

/** `withRuns`: its replicas run pipelines, too. */
export async function openSimulation(seed: number, replicaCount: number, withRuns = false): Promise<Simulation> {
  const random = seededRandom(seed);
  const database = await createTestDatabase();
  await putOnVirtualTime(database.sql).catch(async (error: unknown) => {
    await database.drop();
    throw error;
  });
  // Opened before time is virtual, because a connection is made by timers.
  const pool = openDatabase(database.target, 1);
  await pool`select 1`;
  const setClock = createDatabaseClock(pool);
  const directory = withRuns ? await mkdtemp(join(tmpdir(), "agyn-simulation-")) : undefined;
  const blobs = directory === undefined ? undefined : await openBlobDirectory({ directory });
  const time = openVirtualTime();
  const startTime = Date.now();
  const replicas: Replica[] = [];
  const chaos = createChaos(random, replicas);
  const invariants = createInvariants(pool);
  const runInvariants = createRunInvariants(pool, invariants);
  const listeners = new Set<{ process: { readonly isDead: boolean }; hear: (payload: string) => void }>();
  const notes: string[] = [];
  /** Whose statements are to be checked: mostly one, for those of one moment run together. */
  const writers = new Set<string>();
  let statements = 0;
  const simulation: Simulation = {
    ...{ time, random, chaos, invariants, runInvariants, blobs, pool, replicas, notes },
    get statements() {
      return statements;
    },
    note(text) {
      notes.push(`${((Date.now() - startTime) / 1000).toFixed(3)} ${text}`);
      if (notes.length > remembered) notes.shift();
    },
    async delay(time_ms, blockedUntil) {
      time.stir();
      for (let wait_ms = time_ms, isDue = false; !isDue; isDue = wait_ms <= 0) {
        await new Promise<void>((resolve) => void setTimeout(resolve, wait_ms));
        wait_ms = blockedUntil() - Date.now();
      }
    },
    execute: (run, writer) =>
      time.underWay(async () => {
        if (writer !== undefined) writers.add(writer);
        statements += 1;
        await setClock();
        return run();
      }),
    signalsOf: (process) => ({
      listen: async (_channel, hear, onListen) => {
        const listener = { process, hear };
        listeners.add(listener);
        onListen?.();
        return { unlisten: async () => void listeners.delete(listener) } as never;
      },
      notify: (async (_channel: string, payload: string) => {
        if (process.isDead) return;
        for (const listener of listeners) {
          if (chaos.hits(20)) continue;
          setTimeout(() => {
            if (!listener.process.isDead && listeners.has(listener)) listener.hear(payload);
          }, chaos.linkDelay_ms());
        }
      }) as never,
    }),
    async step() {
      await time.step();
      if (writers.size === 0) return [];
      const checked = [...writers];
      writers.clear();
      const faults = await invariants.check(checked);
      if (withRuns) await runInvariants.check();
      return faults;
    },
    async [Symbol.asyncDispose]() {
      for (const replica of replicas) replica.crash();
      time[Symbol.dispose]();
      await pool.end({ timeout: 2 });
      await database.drop();
      if (directory !== undefined) await rm(directory, { recursive: true, force: true });
    },
  };
  for (let number = 1; number <= replicaCount; number += 1) replicas.push(createReplica(simulation, `rep_${number}`));
  return simulation;
}
