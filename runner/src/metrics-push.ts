import { create } from "@bufbuild/protobuf";
import type { Duration } from "@bufbuild/protobuf/wkt";
import { createClient, type Transport } from "@connectrpc/connect";
import type { Logger } from "pino";
import { MetricsSampleSchema, type MetricsSample } from "../../proto/gen/agyn/runners/v1/runner_pb.ts";
import {
  MetricsRequestSchema,
  RunnersService,
  type MetricsRequest,
} from "../../proto/gen/agyn/runners/v1/runners_service_pb.ts";
import { abortLater, backoffMs, pause } from "./backoff.ts";
import { metricsBetween, readMachineCounters, type MachineMetrics } from "./machine-metrics.ts";
import { refusalOf } from "./refusal.ts";
import { durationMs, toTimestamp } from "./wire-time.ts";

/** However short the control plane asks, no measurement comes sooner than this. */
const leastIntervalMs = 100;

/** Measures the machine and sends one sample each interval over a connection until `signal` aborts. */
export async function pushMetrics(deps: {
  transport: Transport;
  intervalMs: number;
  liveWorkloads: () => number;
  log: Logger;
  signal: AbortSignal;
}): Promise<void> {
  const { transport, liveWorkloads, log, signal } = deps;
  const client = createClient(RunnersService, transport);
  const interval = { ms: Math.max(leastIntervalMs, deps.intervalMs) };
  let failures = 0;
  while (!signal.aborted) {
    const call = abortLater(signal);
    const requests = samples(interval, liveWorkloads, AbortSignal.any([signal, call.signal]));
    try {
      for await (const answer of client.metrics(requests, { signal: call.signal })) {
        failures = 0;
        interval.ms = answer.interval === undefined ? interval.ms : toIntervalMs(answer.interval);
      }
    } catch (error) {
      if (signal.aborted) return;
      const { reason, message } = refusalOf(error);
      log.debug({ reason, error: message }, "metrics stream failed");
    } finally {
      call.abort();
    }
    failures += 1;
    await pause(Math.max(leastIntervalMs, backoffMs(failures, Math.random())), signal);
  }
}

async function* samples(
  interval: { readonly ms: number },
  liveWorkloads: () => number,
  signal: AbortSignal,
): AsyncGenerator<MetricsRequest> {
  let before = readMachineCounters();
  while (await pause(interval.ms, signal)) {
    const after = readMachineCounters();
    const sample = toSample(metricsBetween(before, after), liveWorkloads());
    before = after;
    yield create(MetricsRequestSchema, { samples: [sample] });
  }
}

function toIntervalMs(interval: Duration): number {
  return Math.max(leastIntervalMs, durationMs(interval));
}

function toSample(metrics: MachineMetrics, liveWorkloads: number): MetricsSample {
  return create(MetricsSampleSchema, {
    time: toTimestamp(Date.now()),
    cpuUtilization: metrics.cpu,
    coreUtilization: metrics.cores,
    memoryUsedBytes: BigInt(metrics.memoryUsedBytes),
    memoryAvailableBytes: BigInt(metrics.memoryAvailableBytes),
    memoryTotalBytes: BigInt(metrics.memoryTotalBytes),
    networkReceiveBytes: BigInt(metrics.networkReceivedBytes),
    networkTransmitBytes: BigInt(metrics.networkSentBytes),
    diskReadBytes: BigInt(metrics.diskReadBytes),
    diskWriteBytes: BigInt(metrics.diskWrittenBytes),
    load: metrics.load[0],
    liveWorkloads,
  });
}
