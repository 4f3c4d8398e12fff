/** The store's part of a workload's life alone, in batches, beside graphile-worker on the same PostgreSQL. */
import { create, toBinary } from "@bufbuild/protobuf";
import { WorkloadSpecSchema } from "../proto/gen/agyn/orchestrator/v1/workload_pb.ts";
import type { Sql } from "../server/src/store/database.ts";
import { acquireLeadership } from "../server/src/store/leader.ts";
import { startWorkloads, type NewWorkload } from "../server/src/store/workload-starts.ts";
import {
  advanceWorkloads,
  endWorkloads,
  type PlacingGuard,
  type Writer,
} from "../server/src/store/workload-transitions.ts";
import { createId } from "../wire/ids.ts";
import { measureCommit_ms, openStore, type BenchPostgres } from "./database.ts";
import { median, type Report } from "./figure.ts";
import { measureGraphile } from "./graphile.ts";

const batchSize = 500;
/** As many as a replica that leads has under way. */
const clients = 4;
const warmUp_ms = 2_000;
const measured_ms = 3_000;
const runs = 3;
const lease_ms = 600_000;
const runners = Array.from({ length: 100 }, () => createId("runner"));

/**
 * Of a workload that does nothing, the recorder writes only the furthest word of its runner: it is placed, then ended. Of one that lasts
 * longer than a write, it writes each.
 */
const ways = [
  { name: "life cycles of no-op workloads in the store: placed, ended", words: [], target: "≥ 1.5 ×" },
  { name: "longer ones: placed, starting, running, ended", words: ["starting", "running"] },
] as const;

type Way = (typeof ways)[number];

export async function runStoreBench(server: BenchPostgres): Promise<Report> {
  const database = await server.createDatabase("bench_store");
  const commit_ms = await measureCommit_ms(database);
  const { single, batched } = await measureGraphile(server);
  const sql = await openStore(database, clients + 1);
  const rates = new Map<Way, number[]>(ways.map((way) => [way, []]));
  const times = emptyTimes();
  try {
    const writer = { replicaId: createId("replica"), storeEpoch: 1 };
    const { epoch, fleetVersion } = (await acquireLeadership(sql, writer.replicaId, lease_ms, true))!;
    const bench = { sql, writer, guard: { epoch, fleetVersion } };
    for (const way of ways) await live(bench, way, warmUp_ms / ways.length, emptyTimes());
    for (let turn = 0; turn < runs; turn++)
      for (const way of ways)
        rates.get(way)!.push(await live(bench, way, measured_ms, way.words.length > 0 ? times : emptyTimes()));
  } finally {
    await sql.end({ timeout: 5 });
  }
  const beside = (way: Way, baseline: string, other: number) => {
    const value = median(rates.get(way)!);
    const name = `${way.name}, batches of ${batchSize}, ${clients} at once`;
    const ratio = value / other;
    const target = "target" in way && baseline === "batched" ? { target: way.target } : {};
    return {
      name,
      value,
      unit: "/s",
      baseline: { name: `graphile-worker ${baseline}, with add, /s`, value: other },
      ratio,
      ...target,
    };
  };
  return {
    figures: [
      ...ways.map((way) => beside(way, "batched", batched)),
      ...ways.map((way) => beside(way, "single", single)),
    ],
    limit: `a batch takes ${describe(times)} (median, ms) where a commit of one row takes ${commit_ms.toFixed(2)} ms`,
  };
}

type Times = { start: number[]; starting: number[]; running: number[]; end: number[] };
type Bench = { sql: Sql; writer: Writer; guard: PlacingGuard };

/** Life cycles a second over the time. */
async function live(bench: Bench, way: Way, time_ms: number, times: Times): Promise<number> {
  const start = performance.now();
  let lived = 0;
  const client = async () => {
    while (performance.now() - start < time_ms) {
      await liveBatch(bench, way, times);
      lived += batchSize;
    }
  };
  await Promise.all(Array.from({ length: clients }, client));
  return (lived / (performance.now() - start)) * 1000;
}

async function liveBatch({ sql, writer, guard }: Bench, way: Way, times: Times): Promise<void> {
  const workloads = Array.from({ length: batchSize }, (_, number) => newWorkload(runners[number % runners.length]!));
  const runnerOf = new Map(workloads.map((one) => [one.id, one.runnerId!]));
  const started = await timed(times.start, () => startWorkloads(sql, writer, guard, workloads));
  const placed = started.map(({ id, fence, phase }) => {
    if (phase !== "placed") throw new Error(`workload ${id} was not placed`);
    return { id, fence, runnerId: runnerOf.get(id)! };
  });
  for (const phase of way.words) {
    const time = new Date();
    const advances = placed.map((one) => ({ ...one, phase, time }));
    const known = await timed(times[phase], () => advanceWorkloads(sql, writer, advances));
    if (known.size !== batchSize) throw new Error(`${batchSize - known.size} workloads were not ${phase}`);
  }
  const now_ms = Date.now();
  const result = {
    outcome: "exited" as const,
    exitCode: 0,
    signal: "",
    message: "exited with code 0",
    cpuTime_ms: 1,
    memoryPeak_bytes: 1_000_000,
    memorySampled: false,
    startTime_ms: now_ms - 1,
    endTime_ms: now_ms,
  };
  const succeeded = { phase: "succeeded", message: "", phaseIfStopped: "succeeded", messageIfStopped: "" } as const;
  const endings = placed.map((one) => ({ ...one, ...succeeded, result, mayRetry: false }));
  const ended = await timed(times.end, () => endWorkloads(sql, writer, endings));
  if (ended.length !== batchSize) throw new Error(`${batchSize - ended.length} workloads did not end`);
}

const spec = toBinary(
  WorkloadSpecSchema,
  create(WorkloadSpecSchema, { command: { case: "script", value: { text: "true", shell: "sh" } } }),
);

function newWorkload(runnerId: string): NewWorkload {
  return {
    id: createId("workload"),
    organizationId: "org_aaaaaaaaaaaaaaaa",
    name: "",
    labels: {},
    spec,
    demand: {
      organizationId: "org_aaaaaaaaaaaaaaaa",
      requirements: [],
      capabilities: [],
      executor: "process",
      resources: { slots: 1 },
      preferences: [],
    },
    maximumTries: 1,
    retryOnLost: false,
    retryOnFailed: false,
    lostAfter_ms: 86_400_000,
    pendingTimeout_ms: 600_000,
    createdBy: "usr_aaaaaaaaaaaaaaaa",
    runnerId,
    verdict: "",
    message: "",
  };
}

function emptyTimes(): Times {
  return { start: [], starting: [], running: [], end: [] };
}

async function timed<T>(into: number[], act: () => Promise<T>): Promise<T> {
  const start = performance.now();
  const value = await act();
  into.push(performance.now() - start);
  return value;
}

function describe(times: Times): string {
  return Object.entries(times)
    .map(([name, values]) => `${name} ${median(values).toFixed(1)}`)
    .join(", ");
}
