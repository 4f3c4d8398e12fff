import type { Logger } from "pino";
import type { Demand } from "../domain/demand.ts";
import type { Random } from "../secure-random.ts";
import type { Sql } from "../store/database.ts";
import type { NewWorkload } from "../store/workload-starts.ts";
import type { PlacingGuard, Writer } from "../store/workload-transitions.ts";
import type { WorkloadHead, WorkloadRow } from "../store/workloads.ts";
import type { FailUnreadable } from "./fail-unreadable.ts";
import type { FleetState } from "./fleet-state.ts";
import type { PendingLimits } from "./pending-room.ts";
import type { LossFacts } from "./waiting.ts";

/** What a caller wants started: the row to be, and the demand it holds. */
export type StartRequest = { workload: Omit<NewWorkload, "runnerId" | "verdict" | "message">; demand: Demand };

/**
 * A start comes to `never` at once where no registered runner ever could; the fleet has been read afresh before that. `exists`:
 * another replica was faster with the same id, under an idempotency key.
 */
export type StartOutcome = { kind: "started"; row: WorkloadRow } | { kind: "exists" } | { kind: "never" };

/** Places workloads while this replica leads, and inserts them as pending while another does. */
export interface Placer {
  readonly leads: boolean;
  /** By which right this replica places now; `undefined` where it does not lead. */
  readonly guard: PlacingGuard | undefined;
  /** Throws `LIMIT` where too much of the organization waits for a runner already. */
  start(request: StartRequest): Promise<StartOutcome>;
  /** Takes pending workloads into account, and those that are so no more. */
  consider(rows: readonly WorkloadHead[]): void;
  /** Another replica placed or ended it. */
  discount(workloadId: string): void;
  /** Holds what waits against the store: takes up that of which no word came, and drops that which has gone on. */
  recount(): Promise<void>;
  /** Something changed that may let a waiting workload be placed. */
  wake(): void;
  /** Renews or takes the lease. */
  renewLease(): Promise<void>;
  /** Placements of these may be in the store or not: nothing is placed until a new leadership has told. */
  settle(workloadIds: readonly string[]): Promise<void>;
  /** Writes down for people why workloads wait; answers whether anything changed. */
  explainWaiting(): Promise<boolean>;
  /** How many wait here. */
  readonly waiting: number;
  stop(): Promise<void>;
}

/** A placement that is in the store, on its way to its runner. */
export type Delivery = {
  id: string;
  fence: bigint;
  runnerId: string;
  organizationId: string;
  /** null: not read, since its runner was not connected here. */
  spec: Uint8Array | null;
  demand: Demand;
} & LossFacts;

export type PlacerDeps = {
  sql: Sql;
  fleet: FleetState;
  writer: Writer;
  random: Random;
  log: Logger;
  leaderLease_ms: number;
  pendingLimits: PendingLimits;
  /** A leadership begins after nobody led for `gap_ms`; it leads only once this is done. */
  onBegin: (gap_ms: number) => Promise<void>;
  /** Brings a placement to its runner's session, here or on another replica. */
  deliver: (placement: Delivery) => void;
  /** Whether a runner is connected here, so that its placements are sent from here. */
  isHere: (runnerId: string) => boolean;
  failUnreadable: FailUnreadable;
  /** Tells the leader, which is another replica, that something is pending. */
  announcePending: () => void;
};
