import { MetricsSampleSchema, type MetricsSample } from "../../../proto/gen/agyn/runners/v1/runner_pb.ts";
import { formatBytes, instant, messageJson, type View } from "../view.ts";

function percent(share: number): string {
  return `${(share * 100).toFixed(0)} %`;
}

export const metricsSampleView: View<MetricsSample> = {
  noun: "metrics",
  id: ({ time }) => instant(time),
  toJson: messageJson(MetricsSampleSchema),
  columns: [
    { header: "TIME", value: ({ time }) => instant(time).padEnd(24) },
    { header: "CPU", value: ({ cpuUtilization }) => percent(cpuUtilization).padStart(5) },
    { header: "LOAD", value: ({ load }) => load.toFixed(2).padStart(6) },
    { header: "MEMORY", value: (sample) => formatBytes(sample.memoryUsedBytes).padStart(10) },
    { header: "OF", value: (sample) => formatBytes(sample.memoryTotalBytes).padStart(10) },
    { header: "WORKLOADS", value: ({ liveWorkloads }) => String(liveWorkloads).padStart(9) },
    { header: "NET IN", value: (sample) => formatBytes(sample.networkReceiveBytes).padStart(10) },
    { header: "NET OUT", value: (sample) => formatBytes(sample.networkTransmitBytes).padStart(10) },
    { header: "READ", value: (sample) => formatBytes(sample.diskReadBytes).padStart(10) },
    { header: "WRITTEN", value: (sample) => formatBytes(sample.diskWriteBytes).padStart(10) },
    { header: "CORES", value: ({ coreUtilization }) => coreUtilization.map(percent).join(" "), isWide: true },
  ],
  details: () => [],
};
