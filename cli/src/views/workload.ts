import { timestampMs } from "@bufbuild/protobuf/wkt";
import { Verdict, VerdictSchema } from "../../../proto/gen/agyn/orchestrator/v1/explanation_pb.ts";
import {
  Outcome,
  OutcomeSchema,
  WorkloadPhase,
  WorkloadPhaseSchema,
  WorkloadSchema,
  type Workload,
  type WorkloadSpec,
} from "../../../proto/gen/agyn/orchestrator/v1/workload_pb.ts";
import { formatDuration, fromProtoDuration } from "../durations.ts";
import type { Tone } from "../terminal.ts";
import { age, enumWord, formatBytes, instant, messageJson, pairs, type View } from "../view.ts";

/** Whether nothing more happens to it. */
export function isTerminal(workload: Workload): boolean {
  return workload.phase >= WorkloadPhase.SUCCEEDED;
}

/** The phase, and whether its runner is out of reach. */
export function phaseText(workload: Workload): string {
  const phase = enumWord(WorkloadPhaseSchema, workload.phase);
  return workload.unreachableSince === undefined || isTerminal(workload) ? phase : `${phase}, unreachable`;
}

export function phaseTone(workload: Workload): Tone | undefined {
  if (workload.unreachableSince !== undefined && !isTerminal(workload)) return "warning";
  if (workload.phase === WorkloadPhase.SUCCEEDED) return "good";
  if (workload.phase === WorkloadPhase.FAILED || workload.phase === WorkloadPhase.LOST) return "bad";
  return workload.phase === WorkloadPhase.PENDING || workload.phase === WorkloadPhase.CANCELLED ? "warning" : undefined;
}

function commandText(spec: WorkloadSpec | undefined): string {
  switch (spec?.command.case) {
    case "argv":
      return spec.command.value.arguments
        .map((word) => (/^[\w./:=@%+,-]+$/.test(word) ? word : JSON.stringify(word)))
        .join(" ");
    case "script":
      return `${spec.command.value.shell === "" ? "sh" : spec.command.value.shell} script: ${spec.command.value.text.split("\n", 1)[0]}`;
    case "simulation":
      return "simulated";
    default:
      return "";
  }
}

/** From its start to its end, or until now. */
export function runTime(workload: Workload, now: Date): string {
  if (workload.startTime === undefined) return "-";
  const end = workload.endTime === undefined ? now.getTime() : timestampMs(workload.endTime);
  return formatDuration(end - timestampMs(workload.startTime));
}

/** How it ended: `exit code 2`, `SIGKILL`, `timed out`, `no runner`; empty while it lives. */
export function resultText({ result, phase, fence, verdict }: Workload): string {
  const wasNeverPlaced = phase === WorkloadPhase.FAILED && fence === 0n && verdict !== Verdict.UNSPECIFIED;
  if (result === undefined) return wasNeverPlaced ? "no runner" : "";
  if (result.outcome === Outcome.EXITED) return `exit code ${result.exitCode}`;
  const word = enumWord(OutcomeSchema, result.outcome).replaceAll("-", " ");
  return result.signal === "" ? word : `${word} (${result.signal})`;
}

function memoryText({ result }: Workload): string {
  if (result === undefined || result.memoryPeakBytes === 0n) return "";
  return `${formatBytes(result.memoryPeakBytes)}${result.memorySampled ? " (sampled)" : ""}`;
}

function retryText({ retry, try: number }: Workload): string {
  return retry === undefined || retry.maximumTries <= 1 ? String(number) : `${number} of ${retry.maximumTries}`;
}

export const workloadView: View<Workload> = {
  noun: "workloads",
  id: ({ id }) => id,
  toJson: messageJson(WorkloadSchema),
  columns: [
    { header: "ID", value: ({ id }) => id },
    { header: "NAME", value: ({ name }) => name },
    { header: "PHASE", value: phaseText, tone: phaseTone },
    { header: "RUNNER", value: ({ runnerName }) => runnerName },
    { header: "RESULT", value: resultText },
    { header: "TIME", value: runTime },
    { header: "AGE", value: ({ createTime }, now) => age(createTime, now) },
    { header: "COMMAND", value: ({ spec }) => commandText(spec) },
    { header: "TRY", value: retryText, isWide: true },
    { header: "LABELS", value: ({ labels }) => pairs(labels), isWide: true },
    { header: "FENCE", value: ({ fence }) => String(fence), isWide: true },
    { header: "MESSAGE", value: ({ message }) => message, isWide: true },
  ],
  details: (workload) => [
    ["id", workload.id],
    ["name", workload.name],
    ["organization", workload.organizationId],
    ["phase", phaseText(workload)],
    ["message", workload.message],
    ["verdict", workload.verdict === Verdict.UNSPECIFIED ? "" : enumWord(VerdictSchema, workload.verdict)],
    ["runner", workload.runnerId === "" ? "" : `${workload.runnerName} (${workload.runnerId})`],
    ["result", resultText(workload)],
    ["result message", workload.result?.message ?? ""],
    [
      "cpu time",
      workload.result?.cpuTime === undefined ? "" : formatDuration(fromProtoDuration(workload.result.cpuTime)),
    ],
    ["memory peak", memoryText(workload)],
    ["command", commandText(workload.spec)],
    ["source", workload.spec?.git === undefined ? "" : `${workload.spec.git.url} ${workload.spec.git.ref}`],
    ["labels", pairs(workload.labels)],
    ["executor", workload.demand?.executor ?? ""],
    ["capabilities", workload.demand?.capabilities.join(", ") ?? ""],
    ["resources", pairs(workload.demand?.resources ?? {})],
    ["try", retryText(workload)],
    ["retry of", workload.retryOf],
    ["retried by", workload.retriedBy],
    ["fence", workload.fence === 0n ? "" : String(workload.fence)],
    ["created by", workload.createdBy],
    ["created", instant(workload.createTime)],
    ["placed", instant(workload.placeTime)],
    ["started", instant(workload.startTime)],
    ["ended", instant(workload.endTime)],
    ["unreachable since", instant(workload.unreachableSince)],
    ["waits until", workload.phase === WorkloadPhase.PENDING ? instant(workload.pendingDeadline) : ""],
  ],
};
