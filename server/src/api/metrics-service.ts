import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { durationFromMs, timestampDate } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import { MetricsSampleSchema } from "../../../proto/gen/agyn/runners/v1/runner_pb.ts";
import type { RunnersService } from "../../../proto/gen/agyn/runners/v1/runners_service_pb.ts";
import type { Sql } from "../store/database.ts";
import { insertMetricsSamples, listMetricsSamples } from "../store/metrics-samples.ts";
import { runnerOf, targetOf } from "./context.ts";
import { toMs } from "./runner-proto.ts";

export type MetricsDeps = { sql: Sql; metricsInterval_ms: number };

/** How long samples are kept. */
export const metricsKept_ms = 6 * 3_600_000;
const samplesPerMessage = 200;
const followPeriod_ms = 1000;

/** Takes in and shows the measurements of runners' machines. */
export function createMetrics({
  sql,
  metricsInterval_ms,
}: MetricsDeps): Pick<ServiceImpl<typeof RunnersService>, "metrics" | "readMetrics"> {
  return {
    async *metrics(requests, context) {
      const { runnerId } = runnerOf(context);
      yield { interval: durationFromMs(metricsInterval_ms) };
      for await (const { samples } of requests) {
        const rows = samples.map((sample) => ({
          runnerId,
          time: timestampDate(sample.time!),
          sample: toBinary(MetricsSampleSchema, sample),
        }));
        if (rows.length > 0) await insertMetricsSamples(sql, rows);
      }
    },
    async *readMetrics(request, context) {
      const { runner } = targetOf(context, "runner");
      let after = new Date(Date.now() - (toMs(request.since) ?? metricsKept_ms));
      for (;;) {
        const rows = await listMetricsSamples(sql, runner.id, after);
        for (let start = 0; start < rows.length; start += samplesPerMessage) {
          yield {
            samples: rows
              .slice(start, start + samplesPerMessage)
              .map((row) => fromBinary(MetricsSampleSchema, row.sample)),
          };
        }
        after = rows.at(-1)?.time ?? after;
        if (!request.follow || context.signal.aborted) return;
        await pause(followPeriod_ms, context.signal);
      }
    },
  };
}

function pause(time_ms: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, time_ms);
  signal.addEventListener(
    "abort",
    () => {
      clearTimeout(timer);
      resolve();
    },
    { once: true },
  );
  return promise;
}
