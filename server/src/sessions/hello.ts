import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { HeldWorkload as HeldProto, Hello } from "../../../proto/gen/agyn/orchestrator/v1/placements_pb.ts";
import type { WorkloadResult as ResultProto } from "../../../proto/gen/agyn/orchestrator/v1/workload_pb.ts";
import { outcomes, phases, type WorkloadResult } from "../domain/workload.ts";
import type { HeldWorkload } from "../domain/reconcile-hello.ts";
import type { RunnerReport } from "../store/runners.ts";

/** What a hello says of the runner, as it is stored. Reported facts become labels under the reserved prefix. */
export function toReport(hello: Hello): RunnerReport {
  const machine = hello.machine!;
  const versions = Object.entries(machine.versions).map(
    ([name, version]) => [`agyn/version.${name}`, version] as const,
  );
  const labels = {
    "agyn/os": machine.os,
    "agyn/arch": machine.architecture,
    "agyn/host": machine.host,
    "agyn/cpus": String(machine.cpus),
    "agyn/memory_bytes": String(machine.memoryBytes),
    "agyn/isolation": hello.isolation,
    ...Object.fromEntries<string>(versions),
  };
  return {
    instanceId: hello.instanceId,
    labels,
    found: hello.foundCapabilities,
    executors: hello.executors,
    capacity: hello.capacity,
    isolation: hello.isolation,
    version: hello.version,
    host: machine.host,
  };
}

/** What the runner holds, in the words of the domain. */
export function toHeld(held: HeldProto): HeldWorkload {
  return {
    id: held.workloadId,
    fence: held.fence,
    phase: phases[held.phase - 1]!,
    startTime: held.startTime ? timestampDate(held.startTime) : null,
    result: held.result ? toResult(held.result) : null,
  };
}

/** A result, in the words of the domain. */
export function toResult(result: ResultProto): WorkloadResult {
  return {
    outcome: outcomes[result.outcome - 1]!,
    exitCode: result.exitCode,
    signal: result.signal,
    message: result.message,
    cpuTime_ms: result.cpuTime ? Number(result.cpuTime.seconds) * 1000 + result.cpuTime.nanos / 1e6 : 0,
    memoryPeak_bytes: Number(result.memoryPeakBytes),
    memorySampled: result.memorySampled,
    startTime_ms: result.startTime ? timestampDate(result.startTime).getTime() : null,
    endTime_ms: result.endTime ? timestampDate(result.endTime).getTime() : null,
  };
}
