/**
 * Everything that this runner holds: takes what the control plane and the executors say, asks `reconcile` what follows,
 * and does it.
 */
import type { Logger } from "pino";
import type {
  CompletionAcknowledged,
  Forget,
  HeldWorkload,
  Place,
  Stop,
} from "../../proto/gen/agyn/orchestrator/v1/placements_pb.ts";
import { Changes } from "./changes.ts";
import type { Execution, ExecutionResult, Executor, Sink, WorkloadSpec } from "./executors/executor.ts";
import {
  holdingKey,
  isLive,
  logFields,
  type HeldResult,
  type Holding,
  type HoldingRef,
  type StopOrder,
} from "./holding.ts";
import type { Holdings } from "./holdings.ts";
import type { Logs } from "./logs.ts";
import { judgeLoss, type LossTimes } from "./loss.ts";
import { isSaying, toHeldWorkload, toMessage, type SayAction } from "./messages.ts";
import type { MessageKind } from "./outbox.ts";
import { toPlacement, toSpec, toStopOrder } from "./placement.ts";
import { reconcile, repeated, type Action, type HoldingEvent } from "./reconcile.ts";
import { messageOf } from "./refusal.ts";
import { resultOf, resultWithout } from "./results.ts";
import { SeenFences } from "./seen-fences.ts";
import { createSink } from "./sink.ts";
import type { Uploads } from "./uploads.ts";
import { Usage } from "./usage.ts";

/** Workloads held at one time; further ones are rejected. */
export const maximumHoldings = 10_000;

export type WorkloadsDeps = {
  executors: ReadonlyMap<string, Executor>;
  capacity: Readonly<Record<string, number>>;
  holdings: Holdings;
  logs: Logs;
  uploads: Uploads;
  log: Logger;
};

/** An execution and what it executes. */
type Running = { execution: Execution; spec: WorkloadSpec };

export class Workloads {
  readonly #deps: WorkloadsDeps;
  readonly #held = new Map<string, Holding>();
  readonly #seen = new SeenFences();
  readonly #specs = new Map<string, WorkloadSpec>();
  readonly #executions = new Map<string, Running>();
  readonly #listeners = new Set<(message: MessageKind) => void>();
  readonly #changes = new Changes();
  readonly #usage = new Usage();
  #refusal: string | undefined;

  constructor(deps: WorkloadsDeps) {
    this.#deps = deps;
    deps.logs.listen((of, refused) => {
      if (refused !== undefined) deps.log.warn({ ...logFields(of), reason: refused }, "log refused");
      this.#apply(of, { kind: "log_settled", fence: of.fence });
    });
  }

  /** How many take capacity. */
  get liveCount(): number {
    return this.#usage.liveCount;
  }

  get heldCount(): number {
    return this.#held.size;
  }

  /** Takes up what an earlier process left: what cannot be adopted is reported as lost. */
  async adopt(): Promise<void> {
    const { holdings, logs, executors, log } = this.#deps;
    for (const { placement, stop, result, acknowledged } of holdings.list()) {
      const phase: Holding["phase"] =
        result === undefined ? { kind: "starting" } : { kind: "completed", result, acknowledged };
      const uploadsSettled = placement.hasUploads !== true;
      const holding: Holding = { placement, phase, stop, forgotten: false, logSettled: false, uploadsSettled };
      this.#set(placement.workloadId, holding);
      this.#seen.add(placement);
      logs.add(placement, true);
    }

    const found = new Set<string>();
    for (const executor of executors.values()) {
      for (const running of await executor.adopt((spec) => this.#sinkFor(spec))) {
        found.add(holdingKey(running.execution));
        this.#takeUp(running);
      }
    }
    for (const holding of this.#held.values()) {
      const { placement } = holding;
      if (!isLive(holding) && holding.uploadsSettled) logs.end(placement);
      else if (!isLive(holding)) this.#upload(placement);
      else if (found.has(holdingKey(placement))) log.info(logFields(placement), "workload adopted");
      else this.#ended(placement, resultWithout("lost", "the runner ended and the workload with it"));
    }
  }

  /** What a new session's hello says. */
  toHeldWorkloads(): HeldWorkload[] {
    return [...this.#held.values()]
      .filter(({ forgotten }) => !forgotten)
      .map((holding) => toHeldWorkload(holding, this.#deps.logs.nextLine(holding.placement)));
  }

  /** From now on `say` is told everything that is to be said; the answer ends that. */
  attach(say: (message: MessageKind) => void): () => void {
    this.#listeners.add(say);
    return () => this.#listeners.delete(say);
  }

  /** Says the results again that are not acknowledged. */
  repeatResults(say: (message: MessageKind) => void): void {
    for (const holding of this.#held.values()) {
      for (const action of repeated(holding)) if (isSaying(action)) say(toMessage(action));
    }
  }

  place(place: Place): void {
    const placement = toPlacement(place);
    const spec = toSpec(place);
    const isNew = !this.#held.has(placement.workloadId);
    const refusal = "error" in spec ? spec.error : this.#refusalOf(spec, isNew);
    if (!("error" in spec) && refusal === undefined) this.#specs.set(holdingKey(placement), spec);
    this.#apply(placement, { kind: "place", placement, refusal });
    this.#seen.add(placement);
    const holding = this.#held.get(placement.workloadId);
    const isWanted = holding?.placement.fence === placement.fence && holding.phase.kind === "recording";
    if (!isWanted) this.#specs.delete(holdingKey(placement));
  }

  stop(stop: Stop): void {
    const placement = this.#held.get(stop.workloadId)?.placement;
    this.#apply(stop, { kind: "stop", fence: stop.fence, order: toStopOrder(stop, placement) });
  }

  forget({ workloadId, fence, reason }: Forget): void {
    if (this.#held.has(workloadId))
      this.#deps.log.info({ ...logFields({ workloadId, fence }), reason }, "workload forgotten");
    this.#apply({ workloadId }, { kind: "forget", fence });
  }

  acknowledgeCompletion(of: CompletionAcknowledged): void {
    this.#apply(of, { kind: "completion_acknowledged", fence: of.fence });
  }

  /** Rejects every placement from now on, for this reason. */
  refuseAll(reason: string): void {
    this.#refusal = reason;
  }

  /** Stops everything that runs. */
  stopAll(order: StopOrder): void {
    for (const holding of this.#held.values()) {
      if (!isLive(holding)) continue;
      const { placement } = holding;
      this.#apply(placement, { kind: "stop", fence: placement.fence, order });
    }
  }

  /** Stops what the control plane will try elsewhere; answers in how many ms to look again. */
  stopLost(sinceContactMs: number, times: LossTimes): number {
    let nextMs = Infinity;
    for (const holding of this.#held.values()) {
      const verdict = judgeLoss(holding, sinceContactMs, times);
      if (verdict.kind === "later") nextMs = Math.min(nextMs, verdict.inMs);
      if (verdict.kind !== "now" || holding.stop?.cause === "lost") continue;
      const { placement } = holding;
      this.#deps.log.warn(
        { ...logFields(placement), reason: verdict.order.reason },
        "workload stopped without contact",
      );
      this.#apply(placement, { kind: "stop", fence: placement.fence, order: verdict.order });
    }
    return nextMs;
  }

  /** Resolves when `isTrue` holds, or `signal` aborts; answers which. */
  until(isTrue: () => boolean, signal: AbortSignal): Promise<boolean> {
    return this.#changes.until(isTrue, signal);
  }

  #refusalOf(spec: WorkloadSpec, isNew: boolean): string | undefined {
    if (this.#refusal !== undefined) return this.#refusal;
    const executor = this.#deps.executors.get(spec.executor);
    if (executor === undefined) return `this runner has no executor ${JSON.stringify(spec.executor)}`;
    if (isNew && this.#held.size >= maximumHoldings) return `this runner holds ${maximumHoldings} workloads already`;

    return this.#usage.shortage(spec.resources, this.#deps.capacity) ?? executor.refusal(spec);
  }

  #apply({ workloadId }: { workloadId: string }, event: HoldingEvent): void {
    const { holding, actions } = reconcile(this.#held.get(workloadId), event, this.#seen.of(workloadId));
    this.#set(workloadId, holding);
    for (const action of actions) this.#do(action);
    if (actions.length > 0) this.#changes.announce();
  }

  #set(workloadId: string, holding: Holding | undefined): void {
    this.#usage.replace(this.#held.get(workloadId), holding);
    if (holding === undefined) this.#held.delete(workloadId);
    else this.#held.set(workloadId, holding);
  }

  #do(action: Action): void {
    const { holdings, logs } = this.#deps;
    switch (action.kind) {
      case "record": {
        const { placement } = action;
        logs.add(placement, false);
        holdings.record(placement).then(
          () => this.#apply(placement, { kind: "recorded", fence: placement.fence }),
          (error: unknown) => this.#notRecorded(placement, error),
        );
        return;
      }
      case "start":
        void this.#start(action);
        return;
      case "stop":
        this.#executions.get(holdingKey(action))?.execution.stop(action.order);
        return;
      case "upload":
        this.#upload(action);
        return;
      case "drop_log":
        logs.drop(action);
        return;
      case "remove":
        this.#remove(action);
        return;
      case "note_stopped":
        holdings.noteStopped(action, action.order);
        return;
      case "note_completed":
        holdings.noteCompleted(action, action.result);
        return;
      case "note_acknowledged":
        holdings.noteAcknowledged(action);
        return;
      default:
        this.#say(action);
    }
  }

  #say(action: SayAction): void {
    if (action.kind === "say_rejected") {
      this.#deps.log.warn({ ...logFields(action), reason: action.reason }, "placement rejected");
    }
    const message = toMessage(action);
    for (const say of this.#listeners) say(message);
  }

  #notRecorded(placement: HoldingRef, error: unknown): void {
    const reason = `the placement cannot be recorded: ${messageOf(error)}`;
    this.#apply(placement, { kind: "not_recorded", fence: placement.fence, reason });
  }

  async #start(of: HoldingRef): Promise<void> {
    const key = holdingKey(of);
    const spec = this.#specs.get(key);
    this.#specs.delete(key);
    const executor = spec === undefined ? undefined : this.#deps.executors.get(spec.executor);
    try {
      if (spec === undefined || executor === undefined) throw new Error("its executor is gone");
      this.#deps.log.info(logFields(of), "workload starting");
      this.#takeUp({ spec, execution: await executor.start(spec, this.#sinkFor(spec)) });
    } catch (error) {
      this.#ended(of, resultWithout("start_failed", messageOf(error)));
    }
  }

  #takeUp(running: Running): void {
    const { execution } = running;
    const holding = this.#held.get(execution.workloadId);
    this.#executions.set(holdingKey(execution), running);
    if (holding === undefined || holding.placement.fence !== execution.fence) {
      execution.stop({ graceMs: 0, reason: "the runner does not hold it" });
      void execution.result.then(() => this.#forgetExecution(execution));
      return;
    }
    if (holding.stop !== undefined) execution.stop(holding.stop);
    void execution.result.then((result: ExecutionResult) => this.#ended(execution, resultOf(result)));
  }

  #ended(of: HoldingRef, result: HeldResult): void {
    const isWhole = this.#held.get(of.workloadId)?.uploadsSettled !== false;
    if (isWhole) this.#endLog(of);
    const { outcome, exitCode } = result;
    this.#deps.log.info({ ...logFields(of), outcome, exit_code: exitCode }, "workload ended");
    this.#apply(of, { kind: "ended", fence: of.fence, result });
  }

  #endLog(of: HoldingRef): void {
    const { logs, log } = this.#deps;
    try {
      logs.end(of);
    } catch (error) {
      log.error({ ...logFields(of), error: messageOf(error) }, "log could not be ended");
    }
  }

  /** What is said of the uploads belongs to the log, which ends with them. */
  #upload(of: HoldingRef): void {
    const running = this.#executions.get(holdingKey(of));
    const phase = this.#held.get(of.workloadId)?.phase;
    const outcome = phase?.kind === "completed" ? phase.result.outcome : "lost";
    const onSettled = (): void => {
      this.#endLog(of);
      this.#apply(of, { kind: "uploads_settled", fence: of.fence });
    };
    if (running === undefined || outcome === "lost" || outcome === "start_failed") return onSettled();
    const { spec, execution } = running;
    const { system } = this.#sinkFor(of);
    this.#deps.uploads.start({
      workloadId: of.workloadId,
      fence: of.fence,
      uploads: spec.uploads ?? [],
      files: execution.files,
      system,
      onSettled,
    });
  }

  #remove(of: HoldingRef): void {
    const running = this.#executions.get(holdingKey(of));
    this.#specs.delete(holdingKey(of));
    this.#deps.uploads.cancel(of);
    this.#deps.logs.remove(of);
    this.#deps.holdings.remove(of);
    if (running !== undefined) this.#forgetExecution(running.execution);
  }

  #forgetExecution(execution: Execution): void {
    this.#executions.delete(holdingKey(execution));
    execution.forget().catch((error: unknown) => {
      this.#deps.log.warn({ ...logFields(execution), error: messageOf(error) }, "workload could not be cleaned up");
    });
  }

  #sinkFor(of: HoldingRef): Sink {
    const { logs, log } = this.#deps;
    const onStarted = (startTimeMs: number): void => this.#apply(of, { kind: "started", fence: of.fence, startTimeMs });
    return createSink(of, { logs, log, onStarted });
  }
}
