/* What is done about a delivery: by the trigger's configuration of now, a run starts, or it is said why not. */
import { AgynError } from "../domain/errors.ts";
import type { CancelRun } from "../runs/cancel-run.ts";
import { startRun, type RunRequest, type StartDeps, type StartedRun } from "../runs/start-run.ts";
import {
  countWaiting,
  postponeDelivery,
  settleDelivery,
  type DeliveryState,
  type WholeDelivery,
} from "../store/deliveries.ts";
import type { AuditEvent } from "../store/audit-events.ts";
import { insertReport } from "../store/reports.ts";
import { getProject, type Project } from "../store/projects.ts";
import { getRun, listLiveRuns, listLiveRunsOfIssue, type RunRow } from "../store/runs.ts";
import { getTrigger, type TriggerRow } from "../store/triggers.ts";
import { isUniqueViolation } from "../store/unique.ts";
import { agentCapabilities } from "./check-event.ts";
import type { ForgeEvent } from "./forge-event.ts";
import { judgeDelivery, type Came, type Judged } from "./judge-delivery.ts";

export type WorkDeps = StartDeps & { cancelRun: CancelRun };

/** Waits before the second and later tries. A trigger's later deliveries wait as well: they come in order. */
const retryWaits_ms = [2000, 10_000, 60_000] as const;
/** Between looks at whether the run before has ended. */
const overlapWait_ms = 2000;
/** Times of a schedule that wait for the run before. */
const overlapLimit = 10;

type Outcome =
  | { kind: "settled"; state: DeliveryState; reason: string; run?: RunRow }
  | { kind: "postponed"; reason: string; wait_ms: number; counts: boolean };

/** Works a delivery that the caller has claimed, and writes what became of it. Answers the run that it started. */
export async function workDelivery(deps: WorkDeps, delivery: WholeDelivery): Promise<RunRow | undefined> {
  const outcome = await decide(deps, delivery).catch((error: unknown) => outcomeOf(error, delivery));
  if (outcome.kind === "postponed") {
    await postponeDelivery(deps.sql, delivery, outcome);
    return undefined;
  }
  await settleDelivery(deps.sql, delivery, outcome);
  return outcome.run;
}

async function decide(deps: WorkDeps, delivery: WholeDelivery): Promise<Outcome> {
  const trigger = await getTrigger(deps.sql, delivery.triggerId);
  const project = trigger && (await getProject(deps.sql, trigger.projectId));
  if (!trigger || !project) return { kind: "settled", state: "refused", reason: "the trigger is gone" };
  const judgement = judgeDelivery(trigger, project.sourceUrl, cameOf(delivery));
  if (!("judged" in judgement)) {
    return { kind: "settled", state: judgement.isFault ? "failed" : "refused", reason: judgement.reason };
  }
  const overlap = (await meetOverlap(deps, trigger, delivery)) ?? (await meetIssue(deps, delivery, judgement.judged));
  if (overlap) return overlap;
  const request = toRunRequest(trigger, project, { judged: judgement.judged, deliveryId: delivery.id });
  const eventOf = (started: StartedRun) => startEvent(trigger, started, delivery.id);
  const run = await startRun(deps, request, delivery.runId, eventOf).catch(async (error: unknown) => {
    // An earlier try started it, and was cut off before it could say so.
    const started = isUniqueViolation(error) ? await getRun(deps.sql, delivery.runId) : undefined;
    if (!started) throw error;
    return started;
  });
  const { report: target } = judgement.judged;
  if (target) await insertReport(deps.sql, { runId: run.id, triggerId: trigger.id, target });
  return { kind: "settled", state: "started", reason: "", run };
}

/** Kept with the run: what started it. */
export function startEvent({ id, projectName, name }: TriggerRow, run: StartedRun, deliveryId: string): AuditEvent {
  return {
    scope: { kind: "organization", organizationId: run.organizationId },
    ...{ actor: id, action: "run.start", objectId: run.id, objectName: String(run.number), outcome: "ok" },
    details: { trigger: `${projectName}/${name}`, delivery_id: deliveryId },
  };
}

/** A time slot of a schedule, or else a payload. */
export function cameOf({ payload, slot, event }: WholeDelivery): Came {
  return slot ? { slot } : { payload: payload ?? new Uint8Array(), event };
}

/** What a judged delivery asks to run. */
export function toRunRequest(
  trigger: TriggerRow,
  project: Project,
  { judged, deliveryId }: { judged: Judged; deliveryId: string },
): RunRequest {
  const { config } = trigger;
  const kind = config.source.kind;
  return {
    organizationId: trigger.organizationId,
    project,
    pipeline: config.pipeline,
    ref: judged.ref,
    commit: judged.commit,
    capabilities: judged.capabilities,
    content: new Uint8Array(),
    bundleDigest: "",
    inputs: judged.inputs,
    labels: config.labels,
    name: "",
    priority: config.priority,
    cause: {
      kind,
      userId: "",
      triggerId: trigger.id,
      deliveryId,
      event: judged.eventName,
      untrusted: judged.untrusted,
    },
    event: judged.event,
  };
}

/** What a schedule does while a run of it is live; undefined: it starts. */
async function meetOverlap(deps: WorkDeps, trigger: TriggerRow, delivery: WholeDelivery): Promise<Outcome | undefined> {
  const { source } = trigger.config;
  if (source.kind !== "schedule") return undefined;
  const everything = { ids: [], projectId: "", states: [], labels: {}, pipeline: "", ref: "" };
  const { organizationId, id: triggerId } = trigger;
  const live = await listLiveRuns(deps.sql, { ...everything, organizationId, triggerId });
  const [before] = live.filter((run) => run.id !== delivery.runId);
  if (!before) return undefined;
  switch (source.overlap) {
    case "skip":
      return { kind: "settled", state: "refused", reason: `overlap: run ${before.number} is live` };
    case "queue": {
      const waiting = await countWaiting(deps.sql, triggerId, overlapLimit + 1);
      if (waiting > overlapLimit) {
        return { kind: "settled", state: "refused", reason: `overlap: ${overlapLimit} others wait already` };
      }
      const reason = `overlap: waits for the end of run ${before.number}`;
      return { kind: "postponed", reason, wait_ms: overlapWait_ms, counts: false };
    }
    case "cancel_older":
      for (const run of live)
        await deps.cancelRun(run.id, { reason: "a newer run of its schedule began", grace_ms: null });
      return undefined;
  }
}

/** An issue for agents has one run: a change of its agents starts another in its place, and nothing else does. */
async function meetIssue(deps: WorkDeps, delivery: WholeDelivery, judged: Judged): Promise<Outcome | undefined> {
  if (judged.capabilities.length === 0) return undefined;
  const wanted = judged.capabilities.toSorted().join();
  const { issue } = judged.event as ForgeEvent;
  const live = await listLiveRunsOfIssue(deps.sql, delivery.triggerId, issue?.number ?? 0);
  for (const { id, number, event } of live.filter((run) => run.id !== delivery.runId)) {
    if (
      agentCapabilities(event as ForgeEvent)
        .toSorted()
        .join() === wanted
    ) {
      return { kind: "settled", state: "refused", reason: `issue: run ${number} works on it` };
    }
    await deps.cancelRun(id, { reason: "its issue asks for other agents now", grace_ms: null });
  }
  return undefined;
}

/** What may pass by itself is tried again; the rest is told as it is. */
function outcomeOf(error: unknown, { tries }: WholeDelivery): Outcome {
  const isKnown = error instanceof AgynError && error.reason !== "INTERNAL";
  const reason = isKnown ? error.message : "something went wrong in the server";
  const mayPass = !isKnown || ["SOURCE", "LIMIT", "UNAVAILABLE"].includes(error.reason);
  const wait_ms = mayPass ? retryWaits_ms[tries - 1] : undefined;
  if (wait_ms === undefined) return { kind: "settled", state: "failed", reason };
  return { kind: "postponed", reason, wait_ms, counts: true };
}
