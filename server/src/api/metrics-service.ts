import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { durationFromMs, timestampDate } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import { MetricsSampleSchema, type MetricsSample } from "../../../proto/gen/agyn/runners/v1/runner_pb.ts";
import type { RunnersService } from "../../../proto/gen/agyn/runners/v1/runners_service_pb.ts";
import { createAttemptLimiter } from "../identity/attempt-limiter.ts";
import type { Sql } from "../store/database.ts";
import { insertMetricsSamples, listMetricsSamples, type MetricsSampleRow } from "../store/metrics-samples.ts";
import { runnerOf, targetOf } from "./context.ts";
import { toMs } from "./runner-proto.ts";

export type MetricsDeps = {
  sql: Sql;
  metricsInterval_ms: number;
  /** Hears of samples that were not kept: they came too fast, or their clock is too far off. */
  onDropped: (reason: "rate" | "time", count: number) => void;
};

/** How long samples are kept. */
export const metricsKept_ms = 6 * 3_600_000;
const samplesPerMessage = 200;
const followPeriod_ms = 1000;
/** Samples that a runner may send at once, after a while without; as many as one message takes. */
const sampleBurst = 100;
/** Of the interval that runners are told: what its clock and the way may add. */
const rateShare = 1.25;

/** Takes in and shows the measurements of runners' machines. */
export function createMetrics({
  sql,
  metricsInterval_ms,
  onDropped,
}: MetricsDeps): Pick<ServiceImpl<typeof RunnersService>, "metrics" | "readMetrics"> {
  // Of a runner, whatever streams it has: what it may have stored in the hours that are kept is bounded (I9, I13).
  const rate = createAttemptLimiter(sampleBurst, (1000 / metricsInterval_ms) * rateShare);
  const keep = (runnerId: string, samples: readonly MetricsSample[]): MetricsSampleRow[] => {
    const timely = samples.filter((sample) => isTimely(sample, Date.now()));
    const kept = timely.filter(() => rate.take(runnerId) === 0);
    if (timely.length < samples.length) onDropped("time", samples.length - timely.length);
    if (kept.length < timely.length) onDropped("rate", timely.length - kept.length);
    return kept.map((sample) => ({
      runnerId,
      time: timestampDate(sample.time!),
      sample: toBinary(MetricsSampleSchema, sample, { writeUnknownFields: false }),
    }));
  };
  return {
    async *metrics(requests, context) {
      const { runnerId } = runnerOf(context);
      yield { interval: durationFromMs(metricsInterval_ms) };
      for await (const { samples } of requests) {
        const rows = keep(runnerId, samples);
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

/** Whether the sample's time is within the hours that are kept, before or after now. */
function isTimely({ time }: MetricsSample, now_ms: number): boolean {
  return Math.abs(Number(time!.seconds) * 1000 - now_ms) < metricsKept_ms;
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
