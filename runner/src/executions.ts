/** What runs on this runner: starts and adopts executions, and tells how they go. Whether one is wanted is the workloads' matter. */
import type { Logger } from "pino";
import type { Entrance, Execution, ExecutionResult, Executor, Sink, WorkloadSpec } from "./executors/executor.ts";
import { holdingKey, logFields, type HeldResult, type Holding, type HoldingRef, type StopOrder } from "./holding.ts";
import type { Logs } from "./logs.ts";
import { messageOf } from "./refusal.ts";
import { resultOf, resultWithout } from "./results.ts";
import { createSink } from "./sink.ts";
import type { Uploads } from "./uploads.ts";

export type ExecutionsDeps = {
  executors: ReadonlyMap<string, Executor>;
  logs: Logs;
  uploads: Uploads;
  log: Logger;
};

/** Who is asked what is wanted, and told what happens. */
export type ExecutionsOwner = {
  holdingOf(workloadId: string): Holding | undefined;
  started(of: HoldingRef, startTimeMs: number): void;
  ended(of: HoldingRef, result: HeldResult): void;
  /** Nothing of its workspace is left to send. */
  uploaded(of: HoldingRef): void;
};

/** An execution and what it executes. */
type Running = { execution: Execution; spec: WorkloadSpec };

export class Executions {
  readonly #deps: ExecutionsDeps;
  readonly #owner: ExecutionsOwner;
  /** What is to be started, with its secret values. */
  readonly #specs = new Map<string, WorkloadSpec>();
  readonly #running = new Map<string, Running>();

  constructor(deps: ExecutionsDeps, owner: ExecutionsOwner) {
    this.#deps = deps;
    this.#owner = owner;
  }

  /** Why no executor here takes `spec`, or `undefined`. */
  refusalOf(spec: WorkloadSpec): string | undefined {
    const executor = this.#deps.executors.get(spec.executor);
    if (executor === undefined) return `this runner has no executor ${JSON.stringify(spec.executor)}`;
    return executor.refusal(spec);
  }

  /** Keeps what `start` will need. */
  prepare(spec: WorkloadSpec): void {
    this.#specs.set(holdingKey(spec), spec);
  }

  /** It will not be started. */
  discard(of: HoldingRef): void {
    this.#specs.delete(holdingKey(of));
  }

  async start(of: HoldingRef): Promise<void> {
    const spec = this.#specs.get(holdingKey(of));
    this.discard(of);
    const executor = spec === undefined ? undefined : this.#deps.executors.get(spec.executor);
    try {
      if (spec === undefined || executor === undefined) throw new Error("its executor is gone");
      this.#deps.log.info(logFields(of), "workload starting");
      this.#takeUp({ spec, execution: await executor.start(spec, this.#sinkFor(spec)) });
    } catch (error) {
      this.#ended(of, resultWithout("start_failed", messageOf(error)));
    }
  }

  /** Takes up what an earlier process left; what of `live` is not found is lost. */
  async adopt(live: () => readonly HoldingRef[]): Promise<void> {
    const { executors, log } = this.#deps;
    const found = new Set<string>();
    for (const executor of executors.values()) {
      for (const running of await executor.adopt((spec) => this.#sinkFor(spec))) {
        found.add(holdingKey(running.execution));
        this.#takeUp(running);
      }
    }
    for (const of of live()) {
      if (found.has(holdingKey(of))) log.info(logFields(of), "workload adopted");
      else this.#ended(of, resultWithout("lost", "the runner ended and the workload with it"));
    }
  }

  stop(of: HoldingRef, order: StopOrder): void {
    this.#running.get(holdingKey(of))?.execution.stop(order);
  }

  /** The way into one that runs; throws an error that says why there is none. */
  wayInto(of: HoldingRef): Entrance {
    const execution = this.#running.get(holdingKey(of))?.execution;
    if (execution?.entrance === undefined) throw new Error("its executor has no way into a workload");
    return execution.entrance();
  }

  /** Removes all that is kept of it. */
  forget(of: HoldingRef): void {
    this.discard(of);
    this.#deps.uploads.cancel(of);
    const running = this.#running.get(holdingKey(of));
    if (running !== undefined) this.#forget(running.execution);
  }

  /** Sends what is kept of one that has ended. What is said of that belongs to its log, which ends then. */
  upload(of: HoldingRef): void {
    const running = this.#running.get(holdingKey(of));
    const phase = this.#owner.holdingOf(of.workloadId)?.phase;
    const outcome = phase?.kind === "completed" ? phase.result.outcome : "lost";
    const onSettled = (): void => {
      this.#endLog(of);
      this.#owner.uploaded(of);
    };
    if (running === undefined || outcome === "lost" || outcome === "start_failed") return onSettled();
    const { uploads = [] } = running.spec;
    const { execution } = running;
    const { files } = execution;
    const hideSecrets = (quoted: string): string => execution.hideSecrets?.(quoted) ?? quoted;
    const { workloadId, fence } = of;
    const { system } = this.#sinkFor(of);
    this.#deps.uploads.start({ workloadId, fence, uploads, files, hideSecrets, system, onSettled });
  }

  #takeUp(running: Running): void {
    const { execution } = running;
    const holding = this.#owner.holdingOf(execution.workloadId);
    this.#running.set(holdingKey(execution), running);
    if (holding === undefined || holding.placement.fence !== execution.fence) {
      execution.stop({ graceMs: 0, reason: "the runner does not hold it" });
      void execution.result.then(() => this.#forget(execution));
      return;
    }
    if (holding.stop !== undefined) execution.stop(holding.stop);
    void execution.result.then((result: ExecutionResult) => this.#ended(execution, resultOf(result)));
  }

  #ended(of: HoldingRef, result: HeldResult): void {
    if (this.#owner.holdingOf(of.workloadId)?.uploadsSettled !== false) this.#endLog(of);
    const { outcome, exitCode } = result;
    this.#deps.log.info({ ...logFields(of), outcome, exit_code: exitCode }, "workload ended");
    this.#owner.ended(of, result);
  }

  #endLog(of: HoldingRef): void {
    const { logs, log } = this.#deps;
    try {
      logs.end(of);
    } catch (error) {
      log.error({ ...logFields(of), error: messageOf(error) }, "log could not be ended");
    }
  }

  #forget(execution: Execution): void {
    this.#running.delete(holdingKey(execution));
    execution.forget().catch((error: unknown) => {
      this.#deps.log.warn({ ...logFields(execution), error: messageOf(error) }, "workload could not be cleaned up");
    });
  }

  #sinkFor(of: HoldingRef): Sink {
    const { logs, log } = this.#deps;
    return createSink(of, { logs, log, onStarted: (startTimeMs) => this.#owner.started(of, startTimeMs) });
  }
}
