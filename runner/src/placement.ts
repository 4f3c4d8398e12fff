/** From the messages of the wire to what is held and what is executed. */
import type { Place, Stop } from "../../proto/gen/agyn/orchestrator/v1/placements_pb.ts";
import type {
  Simulation,
  WorkloadSpec as WorkloadSpecProto,
} from "../../proto/gen/agyn/orchestrator/v1/workload_pb.ts";
import { scriptShells, type Command, type ScriptShell, type WorkloadSpec } from "./executors/executor.ts";
import type { Placement, StopOrder } from "./holding.ts";
import { durationMs } from "./wire-time.ts";

/** Between SIGTERM and SIGKILL where nobody says otherwise. */
export const defaultGraceMs = 10_000;

/** What is kept of a placement. */
export function toPlacement(place: Place): Placement {
  const { workloadId, fence, executor, resources, retriedWhenLost, spec } = place;
  return {
    workloadId,
    fence,
    executor,
    resources: { ...resources },
    retriedWhenLost,
    lostAfterMs: lostAfterOf(place),
    graceMs: graceOf(spec),
    ...((spec?.artifacts?.uploads.length ?? 0) > 0 && { hasUploads: true }),
  };
}

/** What the executor is told, or why there is nothing that it could be told. */
export function toSpec(place: Place): WorkloadSpec | { readonly error: string } {
  const { spec } = place;
  if (spec === undefined) return { error: "the placement holds no spec" };
  const command = toCommand(spec);
  if ("error" in command) return command;
  const lostAfterMs = place.retriedWhenLost ? lostAfterOf(place) : undefined;

  return {
    workloadId: place.workloadId,
    organizationId: place.organizationId,
    fence: place.fence,
    executor: place.executor,
    command,
    env: spec.environment.map(({ name, value, secret }) => ({ name, value, secret })),
    graceMs: graceOf(spec),
    resources: { ...place.resources },
    ...(spec.git === undefined ? {} : { source: { kind: "git", url: spec.git.url, ref: spec.git.ref } }),
    ...toFiles(spec),
    ...(spec.workingDirectory === "" ? {} : { workingDirectory: spec.workingDirectory }),
    ...(lostAfterMs !== undefined && { lostAfterMs }),
    ...(spec.timeout === undefined ? {} : { timeoutMs: durationMs(spec.timeout) }),
    ...(spec.command.case === "simulation" ? { simulation: toSimulationText(spec.command.value) } : {}),
  };
}

function toFiles({ bundle, artifacts }: WorkloadSpecProto): Pick<WorkloadSpec, "bundle" | "downloads" | "uploads"> {
  const downloads = (artifacts?.downloads ?? []).map(({ name, sha256, sizeBytes, directory }) => {
    return { name, sha256, sizeBytes: Number(sizeBytes), directory };
  });
  const uploads = (artifacts?.uploads ?? []).map(({ name, paths }) => ({ name, paths }));
  return {
    ...(bundle !== undefined && { bundle: { sha256: bundle.sha256, sizeBytes: Number(bundle.sizeBytes) } }),
    ...(downloads.length > 0 && { downloads }),
    ...(uploads.length > 0 && { uploads }),
  };
}

/** What a stop message orders. */
export function toStopOrder({ grace, reason }: Stop, placement: Placement | undefined): StopOrder {
  const graceMs = grace === undefined ? (placement?.graceMs ?? defaultGraceMs) : durationMs(grace);
  return { cause: "requested", graceMs, reason: reason === "" ? "stopped on request" : reason };
}

function lostAfterOf({ loss }: Place): number | undefined {
  return loss?.kind.case === "after" ? durationMs(loss.kind.value) : undefined;
}

function graceOf(spec: WorkloadSpecProto | undefined): number {
  return spec?.grace === undefined ? defaultGraceMs : durationMs(spec.grace);
}

function toCommand({ command }: WorkloadSpecProto): Command | { readonly error: string } {
  switch (command.case) {
    case "argv":
      return { kind: "argv", argv: command.value.arguments };
    case "script": {
      const shell = command.value.shell === "" ? "sh" : command.value.shell;
      if (!isScriptShell(shell))
        return { error: `shell ${JSON.stringify(shell)} is none of ${scriptShells.join(", ")}` };
      return { kind: "script", script: command.value.text, shell };
    }
    case "simulation":
      return { kind: "argv", argv: [] };
    case undefined:
      return { error: "the spec holds no command that this runner knows" };
  }
}

function isScriptShell(shell: string): shell is ScriptShell {
  return scriptShells.some((known) => known === shell);
}

function toSimulationText({ duration, exitCode, lines, rejectReason, ignoreStop, outputs }: Simulation): string {
  return JSON.stringify({
    durationMs: duration === undefined ? 0 : durationMs(duration),
    exitCode,
    lines: Number(lines),
    ignoreStop,
    outputs,
    ...(rejectReason === "" ? {} : { rejectReason }),
  });
}
