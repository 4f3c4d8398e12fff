/** From the records of this process to the messages of the wire. */
import { create } from "@bufbuild/protobuf";
import {
  AcceptedSchema,
  CompletedSchema,
  HeldWorkloadSchema,
  ProgressSchema,
  RejectedSchema,
  type HeldWorkload,
} from "../../proto/gen/agyn/orchestrator/v1/placements_pb.ts";
import {
  Outcome,
  WorkloadPhase,
  WorkloadResultSchema,
  type WorkloadResult,
} from "../../proto/gen/agyn/orchestrator/v1/workload_pb.ts";
import type { HeldOutcome, HeldResult, Holding } from "./holding.ts";
import type { MessageKind } from "./outbox.ts";
import type { Action } from "./reconcile.ts";
import { toDuration, toTimestamp } from "./wire-time.ts";

/** Bytes of a result's message, and of a reason, on the wire. */
const maximumResultBytes = 4096;
const maximumReasonBytes = 1024;

const outcomes: Record<HeldOutcome, Outcome> = {
  exited: Outcome.EXITED,
  signalled: Outcome.SIGNALLED,
  timed_out: Outcome.TIMED_OUT,
  stopped: Outcome.STOPPED,
  start_failed: Outcome.START_FAILED,
  lost: Outcome.LOST,
  runner_stopped: Outcome.RUNNER_STOPPED,
};

const phases = {
  running: WorkloadPhase.RUNNING,
  stopping: WorkloadPhase.STOPPING,
} as const;

/** An action that says something. */
export type SayAction = Extract<Action, { kind: `say_${string}` }>;

/** Whether it is carried out by a message to the control plane. */
export function isSaying(action: Action): action is SayAction {
  return action.kind.startsWith("say_");
}

/** The message of an action that says something. */
export function toMessage(action: SayAction): MessageKind {
  const { workloadId, fence } = action;
  switch (action.kind) {
    case "say_accepted":
      return { case: "accepted", value: create(AcceptedSchema, { workloadId, fence }) };
    case "say_rejected": {
      const reason = cutText(action.reason, maximumReasonBytes);
      return { case: "rejected", value: create(RejectedSchema, { workloadId, fence, reason }) };
    }
    case "say_progress": {
      const time = toTimestamp(action.timeMs ?? Date.now());
      const value = create(ProgressSchema, { workloadId, fence, phase: phases[action.phase], time });
      return { case: "progress", value };
    }
    case "say_completed": {
      const result = toResult(action.result);
      return { case: "completed", value: create(CompletedSchema, { workloadId, fence, result }) };
    }
  }
}

/** What a hello says of a holding. `nextLine` is the next line of its log. */
export function toHeldWorkload(holding: Holding, nextLine: number): HeldWorkload {
  const { workloadId, fence } = holding.placement;
  const { phase } = holding;
  const startTimeMs = phase.kind === "running" ? phase.startTimeMs : resultOf(holding)?.startTimeMs;
  const result = resultOf(holding);
  return create(HeldWorkloadSchema, {
    workloadId,
    fence,
    phase: wirePhase(holding),
    nextLine: BigInt(nextLine),
    ...(startTimeMs === undefined ? {} : { startTime: toTimestamp(startTimeMs) }),
    ...(result === undefined ? {} : { result: toResult(result) }),
  });
}

function resultOf({ phase }: Holding): HeldResult | undefined {
  return phase.kind === "completed" ? phase.result : undefined;
}

function wirePhase({ phase, stop }: Holding): WorkloadPhase {
  switch (phase.kind) {
    case "recording":
      return WorkloadPhase.PLACED;
    case "starting":
      return stop === undefined ? WorkloadPhase.STARTING : WorkloadPhase.STOPPING;
    case "running":
      return stop === undefined ? WorkloadPhase.RUNNING : WorkloadPhase.STOPPING;
    case "completed":
      return terminalPhase(phase.result);
  }
}

function terminalPhase({ outcome, exitCode }: HeldResult): WorkloadPhase {
  if (outcome === "lost") return WorkloadPhase.LOST;
  if (outcome === "stopped") return WorkloadPhase.CANCELLED;
  return outcome === "exited" && exitCode === 0 ? WorkloadPhase.SUCCEEDED : WorkloadPhase.FAILED;
}

function toResult(result: HeldResult): WorkloadResult {
  return create(WorkloadResultSchema, {
    outcome: outcomes[result.outcome],
    exitCode: result.exitCode,
    signal: result.signal,
    message: cutText(result.message, maximumResultBytes),
    cpuTime: toDuration(result.cpuMs),
    memoryPeakBytes: BigInt(Math.trunc(result.memoryPeakBytes)),
    memorySampled: result.memorySampled,
    outputs: { ...result.outputs },
    ...(result.startTimeMs === undefined ? {} : { startTime: toTimestamp(result.startTimeMs) }),
    ...(result.endTimeMs === undefined ? {} : { endTime: toTimestamp(result.endTimeMs) }),
  });
}

/** The text without NUL and of at most so many bytes of UTF-8. */
export function cutText(text: string, maximumBytes: number): string {
  const bytes = Buffer.from(text.replaceAll("\0", "\uFFFD"));
  if (bytes.length <= maximumBytes) return bytes.toString();
  const cut = bytes.subarray(0, maximumBytes - 3).toString();
  return `${cut.replace(/\uFFFD$/, "")}…`;
}
