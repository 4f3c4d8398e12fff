/* What a delivery comes to by a trigger's configuration: pure, so that a test of a trigger says what a delivery would do. */
import { AgynError } from "../domain/errors.ts";
import type { TriggerRow } from "../store/triggers.ts";
import { agentCapabilities, checkEvent, type Check } from "./check-event.ts";
import { readForgeEvent, type ForgeEvent } from "./forge-event.ts";
import { cleanJson } from "./json-fields.ts";
import { mapInputs } from "./map-inputs.ts";
import { reportTarget, type ReportTarget } from "./report-calls.ts";
import { takenBy } from "./status-labels.ts";
import { parsePayload } from "./webhook-request.ts";

/** What came: a webhook's payload under its sender's name for the event, or a schedule's time. */
export type Came = { payload: Uint8Array; event: string } | { slot: Date };

/** What would run. */
export type Judged = {
  /** What inputs can name; what runs see of it is `event`. */
  event: unknown;
  eventName: string;
  inputs: Record<string, string>;
  ref: string;
  commit: string;
  capabilities: readonly string[];
  /** Whom to tell of the run. */
  report: ReportTarget | undefined;
  /** Others than the project's people wrote what would run. */
  untrusted: boolean;
};

/** `reason`: why nothing starts; `isFault`: it ought to, and cannot. */
export type Judgement = { checks: Check[]; event: unknown } & (
  | { judged: Judged }
  | { reason: string; isFault: boolean }
);

/** A generic payload that is no larger goes with the run; a forge's never does: what counts of it is in the event. */
const eventLimit_bytes = 65_536;

/** Checks every rule, so that the log of deliveries can show them all; `sourceUrl` is the project's. Reads and writes nothing. */
export function judgeDelivery(trigger: TriggerRow, sourceUrl: string, came: Came): Judgement {
  const on = {
    rule: "enabled",
    ok: trigger.enabled,
    detail: trigger.enabled ? `version ${trigger.version}` : "the trigger is off",
  };
  if ("slot" in came) {
    const event = { event: "schedule", time: came.slot.toISOString() };
    return conclude(trigger, { checks: [on], event, seen: event, forge: undefined });
  }
  const { source } = trigger.config;
  if (source.kind !== "webhook")
    throw new AgynError("INTERNAL", `trigger ${trigger.id} is no webhook, and got a payload`);
  const parsed = parsePayload(came.payload);
  if ("error" in parsed) return { checks: [on], event: null, reason: `payload: ${parsed.error}`, isFault: false };
  const payload = cleanJson(parsed.payload);
  const forge = readForgeEvent(source.forge, came.event, payload);
  const takes = trigger.config.report?.statusLabels ? [checkTaken(forge)] : [];
  const checks = [on, ...checkEvent(source, forge, sourceUrl), ...takes];
  const isKept = source.forge === "generic" && came.payload.length <= eventLimit_bytes;
  const seen = { ...forge, payload };
  return conclude(trigger, { checks, event: isKept ? seen : forge, seen, forge });
}

/** What the trigger itself did to an issue's labels is told as an event again: it must not start another run. */
function checkTaken({ labels }: ForgeEvent): Check {
  const label = takenBy(labels);
  const detail = label === undefined ? "nobody has it" : `it has ${label} already: take that off to start anew`;
  return { rule: "status_labels", ok: label === undefined, detail };
}

/** `seen`: what inputs can name. */
type Found = { checks: Check[]; event: unknown; seen: unknown; forge: ForgeEvent | undefined };

function conclude(trigger: TriggerRow, { checks, event, seen, forge }: Found): Judgement {
  const { config } = trigger;
  const broken = checks.find((one) => !one.ok);
  if (broken) return { checks, event: seen, reason: `${broken.rule}: ${broken.detail}`, isFault: false };
  const mapped = mapInputs(config.inputs, seen);
  if ("fault" in mapped) {
    const { input, message } = mapped.fault;
    return { checks, event: seen, reason: `input ${input}: ${message}`, isFault: true };
  }
  const isAgent = config.source.kind === "webhook" && config.source.agentLabels;
  const judged: Judged = {
    event,
    eventName: forge?.event ?? "schedule",
    inputs: { ...(isAgent && forge ? issueInputs(forge) : {}), ...mapped.inputs },
    ref: refOf(forge) || config.ref,
    commit: forge?.commit ?? "",
    capabilities: isAgent && forge ? agentCapabilities(forge) : [],
    report: reportTarget(config, forge, `agyn/${trigger.projectName}/${trigger.name}`),
    untrusted: forge?.pull_request?.from_fork ?? false,
  };
  return { checks, event: seen, judged };
}

/** Branch or tag by its short name, as people ask for it. */
function refOf(event: ForgeEvent | undefined): string {
  return event?.commit ? event.ref.replace(/^refs\/(heads|tags)\//, "") : "";
}

/** What a pipeline for agents is given of an issue, and the branch on which the work is to be done. */
function issueInputs({ issue, repository }: ForgeEvent): Record<string, string> {
  if (!issue) return {};
  const task = `${repository.full_name}#${issue.number}`;
  return {
    issue_number: String(issue.number),
    issue_title: issue.title,
    issue_body: issue.body,
    task_branch: `task/${encodeURIComponent(task)}`,
  };
}
