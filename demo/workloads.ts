import { setTimeout as delay } from "node:timers/promises";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { LogStream, type LogLine } from "../proto/gen/agyn/logs/v1/logs_service_pb.ts";
import { Operator, type DemandSchema, type Requirement } from "../proto/gen/agyn/orchestrator/v1/demand_pb.ts";
import type { Explanation } from "../proto/gen/agyn/orchestrator/v1/explanation_pb.ts";
import type { StartWorkloadRequestSchema } from "../proto/gen/agyn/orchestrator/v1/orchestrator_service_pb.ts";
import { WorkloadPhase, type Workload } from "../proto/gen/agyn/orchestrator/v1/workload_pb.ts";
import type { Clients } from "./clients.ts";
import type { Terminal } from "./terminal.ts";

export type Demand = MessageInitShape<typeof DemandSchema>;

/** A demand for a runner whose labels are these. */
export function demandOf(labels: Record<string, string>, capabilities: string[] = []): Demand {
  const requirements = Object.entries(labels).map(([key, value]) => ({
    key,
    operator: Operator.IN,
    values: [value],
  }));
  return { requirements, capabilities };
}

/** `disk=ssd, git, typescript` */
export function demandText({ requirements = [], capabilities = [] }: Demand): string {
  const labels = requirements.map(({ key, values = [] }: Partial<Requirement>) => `${key}=${values.join("|")}`);
  return [...labels, ...capabilities.map((name) => `capability ${name}`)].join(", ");
}

/** Shows for every runner whether it could take the demand, and if not, every rule that keeps it from that. */
export function showExplanation(terminal: Terminal, explanation: Explanation): void {
  const width = Math.max(...explanation.runners.map(({ runnerName }) => runnerName.length));
  for (const { runnerName, eligible, rules } of explanation.runners) {
    const failing = rules.filter(({ ok }) => !ok).map(({ rule, text }) => `${rule}: ${text}`);
    const why = eligible ? `meets all ${rules.length} rules` : failing.join("; ");
    terminal.verdict(eligible ? "held" : "refused", `${runnerName.padEnd(width)}  ${why}`);
  }
}

export async function startWorkload(
  { orchestrator }: Clients,
  request: MessageInitShape<typeof StartWorkloadRequestSchema>,
): Promise<Workload> {
  return (await orchestrator.startWorkload(request)).workload!;
}

/** Every line of a workload's log in order, as it comes, until the log ends. */
export async function* followLog({ logs }: Clients, workload: Pick<Workload, "id">): AsyncGenerator<LogLine> {
  for await (const { lines } of logs.followLog({ workload: workload.id })) yield* lines;
}

/** Shows the log while the workload runs, and returns its lines. */
export async function showLog(terminal: Terminal, clients: Clients, workload: Workload): Promise<LogLine[]> {
  const start_ms = timestampMs(workload.createTime!);
  const lines: LogLine[] = [];
  for await (const line of followLog(clients, workload)) {
    lines.push(line);
    terminal.log({
      time_ms: Math.max(0, timestampMs(line.time!) - start_ms),
      stream: streamName(line.stream),
      content: line.content,
    });
  }
  return lines;
}

function streamName(stream: LogStream): "stdout" | "stderr" | "system" {
  if (stream === LogStream.SYSTEM) return "system";
  return stream === LogStream.STDERR ? "stderr" : "stdout";
}

/** The workload once its phase is terminal. */
export async function untilEnded({ orchestrator }: Clients, { id }: Workload, timeout_ms: number): Promise<Workload> {
  const deadline = Date.now() + timeout_ms;
  for (;;) {
    const workload = (await orchestrator.getWorkload({ workload: id })).workload!;
    if (workload.endTime !== undefined) return workload;
    if (Date.now() > deadline) throw new Error(`workload ${id} did not end within ${timeout_ms / 1000} s`);
    await delay(50);
  }
}

/** Shows how a workload ended and what it used. */
export function showResult(terminal: Terminal, workload: Workload): void {
  const { result } = workload;
  if (result === undefined) throw new Error(`workload ${workload.id} ended without a result: ${workload.message}`);
  const seconds = (timestampMs(result.endTime!) - timestampMs(result.startTime!)) / 1000;
  const cpu = Number(result.cpuTime!.seconds) + result.cpuTime!.nanos / 1e9;
  terminal.fact(
    "phase",
    workload.phase === WorkloadPhase.SUCCEEDED ? "succeeded" : `did not succeed: ${workload.message}`,
  );
  terminal.fact("exit code", String(result.exitCode));
  terminal.fact("duration", `${seconds.toFixed(2)} s`);
  terminal.fact("CPU time", `${cpu.toFixed(2)} s`);
  const source = result.memorySampled ? "sampled" : "measured by its cgroup";
  terminal.fact("memory", `${(Number(result.memoryPeakBytes) / 2 ** 20).toFixed(0)} MiB at most (${source})`);
}
