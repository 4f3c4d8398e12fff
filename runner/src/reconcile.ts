/**
 * What the runner does about one workload: pure, so that any order of messages can be tried.
 *
 * 1. A placement starts at most once: `start` follows only `recording`, and a fence not above one seen starts nothing (I1).
 * 2. Whatever is said of a workload carries the fence it is held under (I2).
 * 3. Nothing is accepted before it is on disk (I4): `accepted` follows only `recorded`.
 */
import type { HeldResult, Holding, HoldingRef, Placement, StopOrder } from "./holding.ts";
import { holdingKey, isLive } from "./holding.ts";

/** Something that happened to a workload: said by the control plane, or by this machine. */
export type HoldingEvent =
  /** `refusal`: why it cannot be taken now. */
  | { kind: "place"; placement: Placement; refusal: string | undefined }
  | { kind: "stop"; fence: bigint; order: StopOrder }
  | { kind: "forget"; fence: bigint }
  | { kind: "completion_acknowledged"; fence: bigint }
  | { kind: "recorded"; fence: bigint }
  | { kind: "not_recorded"; fence: bigint; reason: string }
  | { kind: "started"; fence: bigint; startTimeMs: number }
  | { kind: "ended"; fence: bigint; result: HeldResult }
  | { kind: "log_settled"; fence: bigint }
  | { kind: "uploads_settled"; fence: bigint };

/** What follows from an event, in this order. */
export type Action =
  | { kind: "record"; placement: Placement }
  | ({ kind: "start" } & HoldingRef)
  | ({ kind: "stop"; order: StopOrder } & HoldingRef)
  /** Send what is kept of it. */
  | ({ kind: "upload" } & HoldingRef)
  | ({ kind: "drop_log" } & HoldingRef)
  | ({ kind: "remove" } & HoldingRef)
  | ({ kind: "note_stopped"; order: StopOrder } & HoldingRef)
  | ({ kind: "note_completed"; result: HeldResult } & HoldingRef)
  | ({ kind: "note_acknowledged" } & HoldingRef)
  | ({ kind: "say_accepted" } & HoldingRef)
  | ({ kind: "say_rejected"; reason: string } & HoldingRef)
  | ({ kind: "say_progress"; phase: "running" | "stopping"; timeMs: number | undefined } & HoldingRef)
  | ({ kind: "say_completed"; result: HeldResult } & HoldingRef);

/** What is held afterwards (`undefined`: nothing), and what is to be done. */
export type Decision = { holding: Holding | undefined; actions: Action[] };

/** Decides about one workload. `seenFence` is the highest fence that was ever placed here for it, 0 for none. */
export function reconcile(holding: Holding | undefined, event: HoldingEvent, seenFence: bigint): Decision {
  if (event.kind === "place") return place(holding, event, seenFence);
  if (holding === undefined || holding.placement.fence !== event.fence) return { holding, actions: [] };

  switch (event.kind) {
    case "stop":
      return stop(holding, event.order);
    case "forget":
      return forget(holding);
    case "completion_acknowledged":
      return acknowledge(holding);
    case "recorded":
      return recorded(holding);
    case "not_recorded":
      return notRecorded(holding, event.reason);
    case "started":
      return started(holding, event.startTimeMs);
    case "ended":
      return ended(holding, event.result);
    case "log_settled":
      return settled({ ...holding, logSettled: true });
    case "uploads_settled":
      return settled({ ...holding, uploadsSettled: true });
  }
}

/** What a new session is told of a holding after its hello: the result, until it is acknowledged. */
export function repeated(holding: Holding): Action[] {
  const { phase } = holding;
  if (phase.kind !== "completed" || phase.acknowledged || holding.forgotten) return [];
  return [{ kind: "say_completed", ...of(holding), result: phase.result }];
}

function place(
  holding: Holding | undefined,
  { placement, refusal }: { placement: Placement; refusal: string | undefined },
  seenFence: bigint,
): Decision {
  const asked = { workloadId: placement.workloadId, fence: placement.fence };
  if (holding !== undefined && holding.placement.fence === placement.fence) {
    const isAccepted = holding.phase.kind !== "recording" && !holding.forgotten;
    return { holding, actions: isAccepted ? [{ kind: "say_accepted", ...asked }, ...repeated(holding)] : [] };
  }
  if (placement.fence <= seenFence) return { holding, actions: [] };

  if (holding !== undefined && isLive(holding)) {
    const reason = `the placement ${holdingKey(holding.placement)} of this workload is still ending here`;
    const older = forget(holding);
    return { holding: older.holding, actions: [...older.actions, { kind: "say_rejected", ...asked, reason }] };
  }

  const before: Action[] = holding === undefined ? [] : [...logDropped(holding), { kind: "remove", ...of(holding) }];
  if (refusal !== undefined) {
    return { holding: undefined, actions: [...before, { kind: "say_rejected", ...asked, reason: refusal }] };
  }
  return {
    holding: {
      placement,
      phase: { kind: "recording" },
      stop: undefined,
      forgotten: false,
      logSettled: false,
      uploadsSettled: placement.hasUploads !== true,
    },
    actions: [...before, { kind: "record", placement }],
  };
}

function recorded(holding: Holding): Decision {
  if (holding.phase.kind !== "recording") return { holding, actions: [] };
  if (holding.forgotten) return { holding: undefined, actions: [{ kind: "remove", ...of(holding) }] };

  const accepted: Action = { kind: "say_accepted", ...of(holding) };
  const starting: Holding = { ...holding, phase: { kind: "starting" } };
  if (holding.stop !== undefined) {
    const early = ended(starting, neverStarted(holding.stop));
    return { holding: early.holding, actions: [accepted, ...early.actions] };
  }
  return { holding: starting, actions: [accepted, { kind: "start", ...of(holding) }] };
}

function notRecorded(holding: Holding, reason: string): Decision {
  if (holding.phase.kind !== "recording") return { holding, actions: [] };
  const actions: Action[] = [{ kind: "remove", ...of(holding) }];
  if (!holding.forgotten) actions.push({ kind: "say_rejected", ...of(holding), reason });
  return { holding: undefined, actions };
}

function started(holding: Holding, startTimeMs: number): Decision {
  if (holding.phase.kind !== "starting") return { holding, actions: [] };
  const running: Holding = { ...holding, phase: { kind: "running", startTimeMs } };
  if (holding.forgotten) return { holding: running, actions: [] };
  const phase = holding.stop === undefined ? "running" : "stopping";
  return { holding: running, actions: [{ kind: "say_progress", ...of(holding), phase, timeMs: startTimeMs }] };
}

function ended(holding: Holding, found: HeldResult): Decision {
  if (!isLive(holding) || holding.phase.kind === "recording") return { holding, actions: [] };
  if (holding.forgotten) return { holding: undefined, actions: [{ kind: "remove", ...of(holding) }] };

  const result = namedByCause(found, holding.stop);
  return {
    holding: { ...holding, phase: { kind: "completed", result, acknowledged: false } },
    actions: [
      { kind: "note_completed", ...of(holding), result },
      { kind: "say_completed", ...of(holding), result },
      ...(holding.uploadsSettled ? [] : [{ kind: "upload" as const, ...of(holding) }]),
    ],
  };
}

function stop(holding: Holding, order: StopOrder): Decision {
  if (holding.phase.kind === "completed") return { holding, actions: repeated(holding) };
  const isShorter = holding.stop === undefined || order.graceMs < holding.stop.graceMs;
  const cause = holding.stop?.cause ?? order.cause;
  if (!isShorter) return { holding, actions: [] };
  const wanted: StopOrder = { ...order, cause };
  const stopped: Holding = { ...holding, stop: wanted };
  if (holding.phase.kind === "recording") return { holding: stopped, actions: [] };

  const actions: Action[] = [
    { kind: "note_stopped", ...of(holding), order: wanted },
    { kind: "stop", ...of(holding), order: wanted },
  ];
  if (holding.stop === undefined && !holding.forgotten) {
    actions.push({ kind: "say_progress", ...of(holding), phase: "stopping", timeMs: undefined });
  }
  return { holding: stopped, actions };
}

function forget(holding: Holding): Decision {
  if (holding.phase.kind === "completed") {
    return { holding: undefined, actions: [...logDropped(holding), { kind: "remove", ...of(holding) }] };
  }
  if (holding.forgotten) return { holding, actions: [] };
  const order: StopOrder = {
    cause: "requested",
    graceMs: holding.stop?.graceMs ?? holding.placement.graceMs,
    reason: "the control plane no longer wants it",
  };
  const forgotten: Holding = {
    ...holding,
    forgotten: true,
    logSettled: true,
    uploadsSettled: true,
    stop: holding.stop ?? order,
  };
  const actions: Action[] = logDropped(holding);
  if (holding.phase.kind !== "recording" && holding.stop === undefined) {
    actions.push({ kind: "stop", ...of(holding), order });
  }
  return { holding: forgotten, actions };
}

function acknowledge(holding: Holding): Decision {
  const { phase } = holding;
  if (phase.kind !== "completed" || phase.acknowledged) return { holding, actions: [] };
  if (isSettled(holding)) return { holding: undefined, actions: [{ kind: "remove", ...of(holding) }] };
  return {
    holding: { ...holding, phase: { ...phase, acknowledged: true } },
    actions: [{ kind: "note_acknowledged", ...of(holding) }],
  };
}

/** Goes once everything of it is with the control plane. */
function settled(holding: Holding): Decision {
  const { phase } = holding;
  if (phase.kind === "completed" && phase.acknowledged && isSettled(holding)) {
    return { holding: undefined, actions: [{ kind: "remove", ...of(holding) }] };
  }
  return { holding, actions: [] };
}

function isSettled({ logSettled, uploadsSettled }: Holding): boolean {
  return logSettled && uploadsSettled;
}

function logDropped(holding: Holding): Action[] {
  return holding.logSettled ? [] : [{ kind: "drop_log", ...of(holding) }];
}

function of({ placement }: Holding): HoldingRef {
  return { workloadId: placement.workloadId, fence: placement.fence };
}

/** An end that we brought about is named after who wanted it. */
function namedByCause(result: HeldResult, order: StopOrder | undefined): HeldResult {
  if (order === undefined || result.outcome !== "stopped" || order.cause === "requested") return result;
  return { ...result, outcome: order.cause, message: order.reason };
}

function neverStarted(order: StopOrder): HeldResult {
  return {
    outcome: "stopped",
    exitCode: 0,
    signal: "",
    message: `stopped before it started: ${order.reason}`,
    cpuMs: 0,
    memoryPeakBytes: 0,
    memorySampled: true,
    startTimeMs: undefined,
    endTimeMs: undefined,
  };
}
