/** What runs on this runner: starts and adopts executions, and tells how they go. Whether one is wanted is the workloads' matter. */
import type { Logger } from "pino";
import type { Execution, ExecutionResult, Executor, Sink, WorkloadSpec } from "./executors/executor.ts";
import { holdingKey, logFields, type HeldResult, type Holding, type HoldingRef, type StopOrder } from "./holding.ts";
import type { Logs } from "./logs.ts";
import { messageOf } from "./refusal.ts";
import { resultOf, resultWithout } from "./results.ts";
import { createSink } from "./sink.ts";

export type ExecutionsDeps = {
  executors: ReadonlyMap<string, Executor>;
  logs: Logs;
  log: Logger;
};

/** Who is asked what is wanted, and told what happens. */
export type ExecutionsOwner = {
  holdingOf(workloadId: string): Holding | undefined;
  started(of: HoldingRef, startTimeMs: number): void;
  ended(of: HoldingRef, result: HeldResult): void;
};

export class Executions {
  readonly #deps: ExecutionsDeps;
  readonly #owner: ExecutionsOwner;
  /** What is to be started, with its secret values. */
  readonly #specs = new Map<string, WorkloadSpec>();
  readonly #running = new Map<string, Execution>();

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
      this.#takeUp(await executor.start(spec, this.#sinkFor(spec)));
    } catch (error) {
      this.#ended(of, resultWithout("start_failed", messageOf(error)));
    }
  }

  /** Takes up what an earlier process left; what of `live` is not found is lost. */
  async adopt(live: () => readonly HoldingRef[]): Promise<void> {
    const { executors, log } = this.#deps;
    const found = new Set<string>();
    for (const executor of executors.values()) {
      for (const { execution } of await executor.adopt((spec) => this.#sinkFor(spec))) {
        found.add(holdingKey(execution));
        this.#takeUp(execution);
      }
    }
    for (const of of live()) {
      if (found.has(holdingKey(of))) log.info(logFields(of), "workload adopted");
      else this.#ended(of, resultWithout("lost", "the runner ended and the workload with it"));
    }
  }

  stop(of: HoldingRef, order: StopOrder): void {
    this.#running.get(holdingKey(of))?.stop(order);
  }

  /** Removes all that is kept of it. */
  forget(of: HoldingRef): void {
    this.discard(of);
    const execution = this.#running.get(holdingKey(of));
    if (execution !== undefined) this.#forget(execution);
  }

  #takeUp(execution: Execution): void {
    const holding = this.#owner.holdingOf(execution.workloadId);
    this.#running.set(holdingKey(execution), execution);
    if (holding === undefined || holding.placement.fence !== execution.fence) {
      execution.stop({ graceMs: 0, reason: "the runner does not hold it" });
      void execution.result.then(() => this.#forget(execution));
      return;
    }
    if (holding.stop !== undefined) execution.stop(holding.stop);
    void execution.result.then((result: ExecutionResult) => this.#ended(execution, resultOf(result)));
  }

  #ended(of: HoldingRef, result: HeldResult): void {
    const { logs, log } = this.#deps;
    try {
      logs.end(of);
    } catch (error) {
      log.error({ ...logFields(of), error: messageOf(error) }, "log could not be ended");
    }
    log.info({ ...logFields(of), outcome: result.outcome, exit_code: result.exitCode }, "workload ended");
    this.#owner.ended(of, result);
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
