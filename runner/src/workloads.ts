/**
 * Everything that this runner holds: takes what the control plane and the executions say, asks `reconcile` what follows,
 * and does it.
 */
import type {
  CompletionAcknowledged,
  Forget,
  HeldWorkload,
  Place,
  Stop,
} from "../../proto/gen/agyn/orchestrator/v1/placements_pb.ts";
import { Changes } from "./changes.ts";
import { Executions, type ExecutionsDeps } from "./executions.ts";
import type { Entrance, WorkloadSpec } from "./executors/executor.ts";
import { isLive, logFields, type Holding, type HoldingRef, type StopOrder } from "./holding.ts";
import type { Holdings } from "./holdings.ts";
import { judgeLoss, type LossTimes } from "./loss.ts";
import { isSaying, toHeldWorkload, toMessage, type SayAction } from "./messages.ts";
import type { MessageKind } from "./outbox.ts";
import { toPlacement, toSpec, toStopOrder } from "./placement.ts";
import { reconcile, repeated, type Action, type HoldingEvent } from "./reconcile.ts";
import { messageOf } from "./refusal.ts";
import { SeenFences } from "./seen-fences.ts";
import { TunnelRefused } from "./tunnel-server.ts";
import { Usage } from "./usage.ts";

/** Workloads held at one time; further ones are rejected. */
export const maximumHoldings = 10_000;

export type WorkloadsDeps = ExecutionsDeps & {
  capacity: Readonly<Record<string, number>>;
  holdings: Holdings;
};

export class Workloads {
  readonly #deps: WorkloadsDeps;
  readonly #held = new Map<string, Holding>();
  readonly #seen = new SeenFences();
  readonly #executions: Executions;
  readonly #listeners = new Set<(message: MessageKind) => void>();
  readonly #changes = new Changes();
  readonly #usage = new Usage();
  #refusal: string | undefined;

  constructor(deps: WorkloadsDeps) {
    this.#deps = deps;
    this.#executions = new Executions(deps, {
      holdingOf: (workloadId) => this.#held.get(workloadId),
      started: (of, startTimeMs) => this.#apply(of, { kind: "started", fence: of.fence, startTimeMs }),
      ended: (of, result) => this.#apply(of, { kind: "ended", fence: of.fence, result }),
      uploaded: (of) => this.#apply(of, { kind: "uploads_settled", fence: of.fence }),
    });
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
    const { holdings, logs } = this.#deps;
    for (const { placement, stop, result, acknowledged } of holdings.list()) {
      const phase: Holding["phase"] =
        result === undefined ? { kind: "starting" } : { kind: "completed", result, acknowledged };
      const uploadsSettled = placement.hasUploads !== true;
      const holding: Holding = { placement, phase, stop, forgotten: false, logSettled: false, uploadsSettled };
      this.#set(placement.workloadId, holding);
      this.#seen.add(placement);
      logs.add(placement, true);
    }

    await this.#executions.adopt(() => [...this.#held.values()].filter(isLive).map(({ placement }) => placement));
    for (const holding of this.#held.values()) {
      if (isLive(holding)) continue;
      if (holding.uploadsSettled) logs.end(holding.placement);
      else this.#executions.upload(holding.placement);
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
    if (!("error" in spec) && refusal === undefined) this.#executions.prepare(spec);
    this.#apply(placement, { kind: "place", placement, refusal });
    this.#seen.add(placement);
    const holding = this.#held.get(placement.workloadId);
    const isWanted = holding?.placement.fence === placement.fence && holding.phase.kind === "recording";
    if (!isWanted) this.#executions.discard(placement);
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

  /** The way into a workload that runs here under this fence (I2); throws a `TunnelRefused`. */
  wayInto({ workloadId, fence }: HoldingRef): Entrance {
    const holding = this.#held.get(workloadId);
    if (holding?.placement.fence !== fence)
      throw new TunnelRefused("STALE_FENCE", "this runner does not hold the workload under this fence");
    if (holding.phase.kind !== "running") throw new TunnelRefused("STATE", "the workload does not run");
    try {
      return this.#executions.wayInto(holding.placement);
    } catch (error) {
      throw new TunnelRefused("STATE", `there is no way into the workload: ${messageOf(error)}`);
    }
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
    if (isNew && this.#held.size >= maximumHoldings) return `this runner holds ${maximumHoldings} workloads already`;
    return this.#executions.refusalOf(spec) ?? this.#usage.shortage(spec.resources, this.#deps.capacity);
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
        void this.#executions.start(action);
        return;
      case "stop":
        this.#executions.stop(action, action.order);
        return;
      case "upload":
        this.#executions.upload(action);
        return;
      case "drop_log":
        logs.drop(action);
        return;
      case "remove":
        logs.remove(action);
        holdings.remove(action);
        this.#executions.forget(action);
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
}
