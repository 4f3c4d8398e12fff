import { timestampDate, type Timestamp } from "@bufbuild/protobuf/wkt";
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
    tunnels: hello.tunnels,
    hostsService: hello.hostsService,
  };
}

/** What the runner holds, in the words of the domain. */
export function toHeld(held: HeldProto): HeldWorkload {
  return {
    id: held.workloadId,
    fence: held.fence,
    phase: phases[held.phase - 1]!,
    startTime: toTime(held.startTime),
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
    cpuTime_ms: result.cpuTime ? toAmount(Number(result.cpuTime.seconds) * 1000 + result.cpuTime.nanos / 1e6) : 0,
    memoryPeak_bytes: toAmount(Number(result.memoryPeakBytes)),
    memorySampled: result.memorySampled,
    startTime_ms: toTime(result.startTime)?.getTime() ?? null,
    endTime_ms: toTime(result.endTime)?.getTime() ?? null,
    ...(Object.keys(result.outputs).length > 0 && { outputs: result.outputs }),
  };
}

/** A time that a runner's clock gave; null where it gave none, or one outside of what records and their readers can hold (I9). */
export function toTime(timestamp: Timestamp | undefined): Date | null {
  if (timestamp === undefined || timestamp.seconds < 0n || timestamp.seconds > latestTime_s) return null;
  return timestampDate(timestamp);
}

/** The year 9999. */
const latestTime_s = 253_402_300_799n;

function toAmount(amount: number): number {
  return Math.min(amount, Number.MAX_SAFE_INTEGER);
}
