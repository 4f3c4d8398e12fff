import { create, type UnknownField } from "@bufbuild/protobuf";
import { BinaryWriter } from "@bufbuild/protobuf/wire";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";
import { MetricsSampleSchema, type MetricsSample } from "../../proto/gen/agyn/runners/v1/runner_pb.ts";
import { dialRunnerPlane, enrollClient } from "../support/runner-client.ts";
import { createWorld, until, type World } from "../support/world.ts";

const hour_ms = 3_600_000;
const now_ms = Date.now();
const sampleAt = (ago_ms: number) => create(MetricsSampleSchema, { time: timestampFromMs(now_ms - ago_ms) });
const samplesFrom = (first: number, count: number) =>
  Array.from({ length: count }, (_, index) => sampleAt(first + index));

/** Sends messages of samples over a stream of their own. */
async function send(world: World, token: string, messages: MetricsSample[][]): Promise<void> {
  const client = await dialRunnerPlane(await enrollClient(world.server.gateway, token));
  const requests = async function* () {
    for (const samples of messages) yield { samples };
  };
  for await (const _ of client.runners.metrics(requests()));
  client.close();
}

async function kept(world: World, runner: string): Promise<MetricsSample[]> {
  const samples: MetricsSample[] = [];
  for await (const message of world.admin.runners.readMetrics({ runner })) samples.push(...message.samples);
  return samples;
}

const countersOf = async (world: World) => (await fetch(`${world.server.gateway}/metrics`)).text();

test("a runner that measures faster than it was told to is thinned out, counted, and costs no other its samples", async () => {
  await using world = await createWorld({ metrics_interval: "1h" });
  const [fast, slow] = [await world.register("fast"), await world.register("slow")];

  await send(world, fast.token, [samplesFrom(0, 100), samplesFrom(1000, 100), samplesFrom(2000, 50)]);
  await send(world, slow.token, [samplesFrom(0, 1)]);

  expect((await kept(world, fast.id)).length).toBe(100);
  expect((await kept(world, slow.id)).length).toBe(1);
  const dropped = 'agyn_metrics_samples_dropped_total{reason="rate"} 150';
  await until("they are counted", async () => (await countersOf(world)).includes(dropped));
});

test("what a sample's clock or its unknown fields say beyond all bounds is not stored", async () => {
  await using world = await createWorld();
  const runner = await world.register("build-1");
  const $unknown: UnknownField[] = [
    { no: 99, wireType: 2, data: new BinaryWriter().bytes(Buffer.alloc(1_000_000)).finish() },
  ];
  const times = [7 * hour_ms, -7 * hour_ms, -1e15].map(sampleAt);

  await send(world, runner.token, [[...times, { ...sampleAt(0), $unknown }]]);

  expect((await kept(world, runner.id)).length).toBe(1);
  const [row] = await world.database.sql<{ size: number }[]>`select length(sample) as size from metrics_sample`;
  expect(row!.size).toBeLessThan(100);
  expect(await countersOf(world)).toContain('agyn_metrics_samples_dropped_total{reason="time"} 3');
});
