import type { Sql } from "../../server/src/store/database.ts";
import { openDatabase } from "../../server/src/store/database.ts";
import type { Random } from "../../server/src/secure-random.ts";
import { createTestDatabase } from "../support/postgres.ts";
import { createChaos, type Chaos } from "./chaos.ts";
import type { Signals } from "../support/gated-sql.ts";
import { createInvariants, type Invariants } from "./invariants.ts";
import { createReplica, type Replica } from "./replica.ts";
import { seededRandom } from "../support/seeded-random.ts";
import { createDatabaseClock, openVirtualTime, putOnVirtualTime, type VirtualTime } from "./virtual-time.ts";

/** A world in which nothing happens but by the seed: several replicas on one real database, on virtual time. */
export interface Simulation extends AsyncDisposable {
  readonly time: VirtualTime;
  readonly random: Random;
  readonly chaos: Chaos;
  readonly invariants: Invariants;
  /** One connection: statements take effect one after the other. */
  readonly pool: Sql;
  readonly replicas: readonly Replica[];
  /** How many statements took effect. */
  readonly statements: number;
  /** What happened, newest last, as far as it is remembered. */
  readonly notes: readonly string[];
  note(text: string): void;
  /** Waits so long, and further until what is waited for is not blocked. */
  delay(time_ms: number, blockedUntil: () => number): Promise<void>;
  /** Runs a statement at this moment of virtual time. `reads`: it changes nothing. */
  execute<T>(run: () => Promise<T>, reads?: boolean): Promise<T>;
  /** Signals between replicas, late or lost. */
  signalsOf(process: { readonly isDead: boolean }): Signals;
  /** Runs what is next, and checks the invariants where the store may have changed. Answers the faults. */
  step(): Promise<readonly string[]>;
}

const remembered = 4000;

export async function openSimulation(seed: number, replicaCount: number): Promise<Simulation> {
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
  const time = openVirtualTime();
  const startTime = Date.now();
  const replicas: Replica[] = [];
  const chaos = createChaos(random, replicas);
  const invariants = createInvariants(pool);
  const listeners = new Set<{ process: { readonly isDead: boolean }; hear: (payload: string) => void }>();
  const notes: string[] = [];
  let isChecked = true;
  let statements = 0;
  const simulation: Simulation = {
    ...{ time, random, chaos, invariants, pool, replicas, notes },
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
    execute: (run, reads = false) =>
      time.underWay(async () => {
        isChecked &&= reads;
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
      if (isChecked) return [];
      isChecked = true;
      return invariants.check();
    },
    async [Symbol.asyncDispose]() {
      for (const replica of replicas) replica.crash();
      time[Symbol.dispose]();
      await pool.end({ timeout: 2 });
      await database.drop();
    },
  };
  for (let number = 1; number <= replicaCount; number += 1) replicas.push(createReplica(simulation, `rep_${number}`));
  return simulation;
}
