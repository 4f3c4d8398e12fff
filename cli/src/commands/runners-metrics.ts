import type { MetricsSample } from "../../../proto/gen/agyn/runners/v1/runner_pb.ts";
import { streamOptions } from "../client.ts";
import { defineCommand } from "../command.ts";
import { parseDuration, toProtoDuration } from "../durations.ts";
import { metricsSampleView } from "../views/metrics-sample.ts";

/** More than six hours hold at one sample a second. */
const maximumSamples = 100_000;

export const runnersMetrics = defineCommand({
  path: ["runners", "metrics"],
  summary: "Shows what a runner's machine measured",
  arguments: { runner: { kind: "required", help: "the runner: id, name or start of an id" } },
  options: {
    since: {
      kind: "parsed",
      placeholder: "duration",
      parse: parseDuration,
      help: "only the last so long (default: all that is kept, six hours)",
    },
    follow: { kind: "flag", short: "f", help: "go on with live measurements" },
  },
  examples: ["agynctl runners metrics build-1 --since 10m", "agynctl runners metrics build-1 --since 1m --follow"],
  async run({ controlPlane, organization, output }, { runner }, { since, follow }) {
    const { runners } = await controlPlane();
    const request = { runner, organization, follow, since: since === undefined ? undefined : toProtoDuration(since) };
    const samples: MetricsSample[] = [];
    for await (const answer of runners.readMetrics(request, follow ? streamOptions : {})) {
      if (!follow) samples.push(...answer.samples.slice(0, maximumSamples - samples.length));
      else for (const sample of answer.samples) await output.item(metricsSampleView, sample);
    }
    if (!follow) await output.list(metricsSampleView, samples);
    return undefined;
  },
});
