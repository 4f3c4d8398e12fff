import type { createOrchestratorService } from "../../server/src/api/orchestrator-service.ts";
import type { createRunnerManagement } from "../../server/src/api/runners-service.ts";
import type { openRuns } from "../../server/src/open-runs.ts";
import type { Sql } from "../../server/src/store/database.ts";

/** One process of the control plane: what `openServer` wires, without its listeners. */
export interface Replica {
  readonly id: string;
  readonly isUp: boolean;
  readonly leads: boolean;
  /** What its process serves; undefined while none is up. */
  readonly services: Services | undefined;
  /** Until when it does nothing, in ms since 1970. */
  readonly stalledUntil: number;
  start(): Promise<void>;
  /** Ends without a word: a statement that was sent may still take effect. */
  crash(): void;
  /** Ends in good order. */
  stop(): Promise<void>;
  /** Does nothing for a while, and then goes on as if nothing had been. */
  stall(time_ms: number): void;
  /** Hears when the process is gone. */
  onDown(listener: () => void): void;
}

export type Services = {
  /** What handlers of runs and of the queue call, in histories that have runs. */
  runs?: Awaited<ReturnType<typeof openRuns>> & { sql: Sql };
  orchestrator: ReturnType<typeof createOrchestratorService>;
  runners: ReturnType<typeof createRunnerManagement>;
};
