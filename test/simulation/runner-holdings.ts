import type { Place } from "../../proto/gen/agyn/orchestrator/v1/placements_pb.ts";
import { holdingKey, isLive, type Holding, type HoldingRef } from "../../runner/src/holding.ts";
import { judgeLoss, type LossTimes } from "../../runner/src/loss.ts";
import { isSaying, toMessage, type SayAction } from "../../runner/src/messages.ts";
import type { MessageKind } from "../../runner/src/outbox.ts";
import { toPlacement } from "../../runner/src/placement.ts";
import { reconcile, repeated, type Action, type HoldingEvent } from "../../runner/src/reconcile.ts";
import { resultWithout } from "../../runner/src/results.ts";
import { SeenFences } from "../../runner/src/seen-fences.ts";
import { Usage } from "../../runner/src/usage.ts";
import { durationMs } from "../../runner/src/wire-time.ts";
import type { Chaos } from "./chaos.ts";
import { toHolding, type Job, type JobSpec, type Machine } from "./machine.ts";

/** What one process of a runner holds; it decides by the runner's own `reconcile`. */
export interface RunnerHoldings {
  /** What is held and wanted, as a hello says it. */
  readonly wanted: Holding[];
  readonly size: number;
  /** What a new session says again. */
  readonly results: SayAction[];
  place(message: Place, refusal: string | undefined): void;
  apply(workloadId: string, event: HoldingEvent): void;
  get(workloadId: string): Holding | undefined;
  /** Takes up what the disk and the machine have. */
  adopt(): void;
  /** Stops what is about to be tried elsewhere; answers in how many ms to look again. */
  stopLost(sinceContactMs: number, times: LossTimes): number;
}

export type RunnerHoldingsDeps = {
  chaos: Chaos;
  machine: Machine;
  slots: number;
  later: (delayMs: number, run: () => void) => void;
  say: (kind: MessageKind) => void;
  onApplied: () => void;
};

const longestNapMs = 1_000;
const shortestNapMs = 20;

export function createRunnerHoldings({
  chaos,
  machine,
  slots,
  later,
  say,
  onApplied,
}: RunnerHoldingsDeps): RunnerHoldings {
  const held = new Map<string, Holding>();
  const seen = new SeenFences();
  const usage = new Usage();
  const specs = new Map<string, JobSpec>();

  const apply = (workloadId: string, event: HoldingEvent): void => {
    const { holding, actions } = reconcile(held.get(workloadId), event, seen.of(workloadId));
    set(workloadId, holding);
    for (const action of actions) act(action);
    onApplied();
  };
  const set = (workloadId: string, holding: Holding | undefined): void => {
    usage.replace(held.get(workloadId), holding);
    if (holding === undefined) held.delete(workloadId);
    else held.set(workloadId, holding);
  };
  const act = (action: Action): void => {
    if (isSaying(action)) return say(toMessage(action));
    switch (action.kind) {
      case "record":
        return later(chaos.diskDelay_ms(), () => record(action.placement));
      case "start":
        return later(chaos.startDelay_ms(), () => start(action));
      case "stop":
        return machine.jobs.get(holdingKey(action))?.stop(action.order.graceMs);
      case "remove":
        machine.disk.delete(holdingKey(action));
        return machine.forgetJob(action);
      case "note_stopped":
        return keep(action, { stop: action.order });
      case "note_completed":
        keep(action, { result: action.result });
        return settleLog(action);
      case "note_acknowledged":
        return keep(action, { acknowledged: true });
      case "upload":
      case "drop_log":
        return undefined;
    }
  };
  const keep = (of: HoldingRef, change: object): void => {
    const kept = machine.disk.get(holdingKey(of));
    if (kept) machine.disk.set(holdingKey(of), { ...kept, ...change });
  };
  const settleLog = ({ workloadId, fence }: HoldingRef): void =>
    later(chaos.below(500), () => apply(workloadId, { kind: "log_settled", fence }));
  const record = (placement: Holding["placement"]): void => {
    const { workloadId, fence } = placement;
    if (chaos.hits(3)) return apply(workloadId, { kind: "not_recorded", fence, reason: "the disk is full" });
    machine.record(placement);
    apply(workloadId, { kind: "recorded", fence });
  };
  const start = (of: HoldingRef): void => {
    const placement = machine.disk.get(holdingKey(of))?.placement;
    if (placement) takeUp(machine.startJob(placement, specs.get(holdingKey(of))!));
  };
  const takeUp = (job: Job): void => {
    const { workloadId, fence } = job;
    const holding = held.get(workloadId);
    apply(workloadId, { kind: "started", fence, startTimeMs: job.startTimeMs });
    if (holding?.placement.fence !== fence) job.stop(0);
    else if (holding.stop !== undefined) job.stop(holding.stop.graceMs);
    job.onEnd((result) => later(0, () => apply(workloadId, { kind: "ended", fence, result })));
  };

  return {
    get wanted() {
      return [...held.values()].filter(({ forgotten }) => !forgotten);
    },
    get size() {
      return held.size;
    },
    get results() {
      return [...held.values()].flatMap(repeated).filter(isSaying);
    },
    get: (workloadId) => held.get(workloadId),
    apply,
    place(message, refusal) {
      const placement = toPlacement(message);
      specs.set(holdingKey(placement), toJobSpec(message));
      const shortage = usage.shortage(placement.resources, { slots });
      apply(placement.workloadId, { kind: "place", placement, refusal: refusal ?? shortage });
      seen.add(placement);
    },
    adopt() {
      for (const kept of machine.disk.values()) {
        set(kept.placement.workloadId, toHolding(kept));
        seen.add(kept.placement);
        if (kept.result) settleLog(kept.placement);
      }
      for (const job of machine.jobs.values()) takeUp(job);
      for (const { placement } of [...held.values()].filter(isLive)) {
        if (machine.jobs.has(holdingKey(placement))) continue;
        const result = resultWithout("lost", "the runner ended and the workload with it");
        apply(placement.workloadId, { kind: "ended", fence: placement.fence, result });
      }
    },
    stopLost(sinceContactMs, times) {
      let nextMs = longestNapMs;
      for (const holding of held.values()) {
        const verdict = judgeLoss(holding, sinceContactMs, times);
        if (verdict.kind === "later") nextMs = Math.min(nextMs, Math.max(shortestNapMs, verdict.inMs));
        if (verdict.kind !== "now" || holding.stop?.cause === "lost") continue;
        const { workloadId, fence } = holding.placement;
        apply(workloadId, { kind: "stop", fence, order: verdict.order });
      }
      return nextMs;
    },
  };
}

/** What is simulated says so itself; the script of a pipeline's job is how long it takes, in ms, and its exit code. */
function toJobSpec({ spec }: Place): JobSpec {
  const { command } = spec!;
  if (command.case === "simulation") {
    const { duration, exitCode } = command.value;
    return { durationMs: duration ? durationMs(duration) : 0, exitCode };
  }
  const [time, exitCode] = command.case === "script" ? command.value.text.split(" ").map(Number) : [];
  return { durationMs: time ?? 0, exitCode: exitCode ?? 0 };
}
