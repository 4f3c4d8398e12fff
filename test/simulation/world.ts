import type { Blobs } from "../../server/src/blobs/blobs.ts";
import type { Random } from "../../server/src/secure-random.ts";
import type { Sql } from "../../server/src/store/database.ts";
import type { Signals } from "../support/gated-sql.ts";
import type { Chaos } from "./chaos.ts";
import type { Invariants } from "./invariants.ts";
import type { Replica } from "./replica.ts";
import type { RunInvariants } from "./run-invariants.ts";
import type { VirtualTime } from "./virtual-time.ts";

/** A world in which nothing happens but by the seed: several replicas on one real database, on virtual time. */
export interface Simulation extends AsyncDisposable {
  readonly time: VirtualTime;
  readonly random: Random;
  readonly chaos: Chaos;
  readonly invariants: Invariants;
  readonly runInvariants: RunInvariants;
  /** Of what jobs keep; undefined where there are no runs. */
  readonly blobs: Blobs | undefined;
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
  /** Runs a statement at this moment of virtual time. `writer`: the replica whose it is, if it changes anything. */
  execute<T>(run: () => Promise<T>, writer?: string): Promise<T>;
  /** Signals between replicas, late or lost. */
  signalsOf(process: { readonly isDead: boolean }): Signals;
  /** Runs what is next, and checks the invariants where the store may have changed. Answers the faults. */
  step(): Promise<readonly string[]>;
}
