import { join } from "node:path";
import type { Logger } from "pino";
import type { Executor } from "./executors/executor.ts";
import { openHoldings } from "./holdings.ts";
import { Logs } from "./logs.ts";
import type { TransportGate } from "./transport-gate.ts";
import { Uploads } from "./uploads.ts";
import { Workloads } from "./workloads.ts";

export type TakeUpOptions = {
  /** The runner's data directory. */
  directory: string;
  /** Whether placements outlive the machine, too. */
  isDurable: boolean;
  executors: ReadonlyMap<string, Executor>;
  /** Amounts by resource. */
  capacity: Readonly<Record<string, number>>;
  gate: TransportGate;
  log: Logger;
};

/**
 * The workloads of a runner, beginning with those that an earlier process left, and what they are kept in, which is whoever calls this to
 * close. Rejects where what was left cannot be taken up, with nothing left open.
 */
export async function takeUpWorkloads({ directory, isDurable, executors, capacity, gate, log }: TakeUpOptions) {
  const holdings = await openHoldings({ directory, isDurable });
  const logs = new Logs({ directory: join(directory, "spools") });
  const uploads = new Uploads({ gate, log });
  const workloads = new Workloads({ executors, capacity, holdings, logs, uploads, log });
  try {
    await workloads.adopt();
  } catch (error) {
    uploads.close();
    await holdings.close();
    logs.close();
    throw error;
  }
  return { holdings, logs, uploads, workloads };
}
