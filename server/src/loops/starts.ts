import { nobody } from "../domain/excluded.ts";
import { takeBatch } from "../domain/take-batch.ts";
import { startWorkloads, type NewWorkload, type StartedWorkload } from "../store/workload-starts.ts";
import type { PlacerDeps, StartOutcome, StartRequest } from "./placer.ts";
import type { PlacingLease } from "./placing-lease.ts";
import { lossFacts, toStartedRow } from "./waiting.ts";
import type { WaitingList } from "./waiting-list.ts";

/** Workloads that callers start: gathered, and each batch inserted by one statement, placed at once where this replica places. */
export interface Starts {
  /** Whether any is not begun yet. */
  readonly hasQueued: boolean;
  enqueue(request: StartRequest): Promise<StartOutcome>;
  /** Writes what is queued, as far as it goes into one statement. What fails is told to who asked. */
  writeBatch(): Promise<void>;
}

export type StartsDeps = Pick<PlacerDeps, "sql" | "fleet" | "writer" | "random" | "deliver" | "announcePending"> & {
  waiting: WaitingList;
  lease: PlacingLease;
  /** There is a batch to write. */
  onQueued: () => void;
  /** What was started waits for a runner. */
  onPending: () => void;
};

type Starting = { request: StartRequest; settle: (outcome: StartOutcome) => void; fail: (error: unknown) => void };

const bounds = {
  /** Starts of one statement: few enough that of many callers some are answered while others are heard. */
  count: 64,
  /** Of their specs: a statement is a text, which has a largest length, and all in it wait for the whole (I9, I13). */
  bytes: 4 * 1024 * 1024,
};

/** Nothing is queued. */
export function createStarts(deps: StartsDeps): Starts {
  const { sql, fleet, writer, random, waiting, lease } = deps;
  const queue: Starting[] = [];

  const write = async (batch: readonly Starting[]) => {
    const placing = lease.leads;
    const decided = batch.map((one) => {
      const { workload, demand } = one.request;
      const pick = fleet.index.pick(demand, nobody, random);
      // Counted before the next one is picked, so that no two of a batch get the same last slot.
      if (placing && pick.kind === "picked") fleet.occupy(workload.id, pick.runnerId, demand.resources);
      return { ...one, pick };
    });
    const going = decided.filter((one) => one.pick.kind === "picked" || one.pick.verdict !== "never");
    for (const one of decided) {
      if (going.includes(one)) continue;
      waiting.discount(one.request.workload.id);
      one.settle({ kind: "never" });
    }
    if (going.length === 0) return;
    const rows = going.map(({ request, pick }): NewWorkload => {
      const picked = placing && pick.kind === "picked" ? pick.runnerId : null;
      return { ...request.workload, runnerId: picked, verdict: pick.kind === "none" ? pick.verdict : "", message: "" };
    });
    let started: StartedWorkload[];
    try {
      started = await startWorkloads(sql, writer, lease.guard ?? { epoch: -1n, fleetVersion: -1n }, rows);
    } catch (error) {
      if (placing || lease.collects) lease.doubt(rows.map((row) => row.id));
      throw error;
    } finally {
      // What is pending is counted anew as its record is.
      for (const row of rows) waiting.discount(row.id);
    }
    finishStart(going, rows, started);
  };

  const finishStart = (going: Starting[], rows: NewWorkload[], started: StartedWorkload[]) => {
    const byId = new Map(started.map((one) => [one.id, one]));
    const outcomes: (() => void)[] = [];
    let pending = false;
    for (const [position, one] of going.entries()) {
      const row = rows[position]!;
      const result = byId.get(row.id);
      if (result?.phase !== "placed") fleet.vacate(row.id);
      if (!result) {
        outcomes.push(() => one.settle({ kind: "exists" }));
        continue;
      }
      const record = toStartedRow(row, result);
      if (result.phase === "placed") {
        const { id, organizationId, spec, fence } = record;
        const { demand } = one.request;
        deps.deliver({ id, fence, runnerId: row.runnerId!, organizationId, spec, demand, ...lossFacts(row) });
      } else {
        pending = true;
        waiting.take(record, lease.collects);
      }
      outcomes.push(() => one.settle({ kind: "started", row: record }));
    }
    // What is written in one turn of the event loop leaves at its end: runners would wait until all callers were answered.
    setImmediate(() => outcomes.forEach((settle) => settle()));
    if (pending) deps.onPending();
    if (pending && !lease.collects) deps.announcePending();
  };

  return {
    get hasQueued() {
      return queue.length > 0;
    },
    enqueue(request) {
      const { promise, resolve, reject } = Promise.withResolvers<StartOutcome>();
      queue.push({ request, settle: resolve, fail: reject });
      deps.onQueued();
      return promise;
    },
    async writeBatch() {
      const batch = takeBatch(queue, ({ request }) => request.workload.spec.length, bounds);
      try {
        await write(batch);
      } catch (error) {
        for (const one of batch) one.fail(error);
      }
    },
  };
}
