/** From StartWorkload to the runner that has it over its real stream, at a steady rate, beside the time of one commit. */
import { setTimeout as delay } from "node:timers/promises";
import { openCaller, type Caller } from "./caller.ts";
import { startControlPlane } from "./control-plane.ts";
import { measureCommit_ms, type BenchPostgres } from "./database.ts";
import { percentile, type Report } from "./figure.ts";
import { openFleet } from "./fleet.ts";

const fleetSize = 10;
const rate = 100;
/** As many as make a server's code what it is once it has run for a while. */
const warmUp = { count: 3_000, perSecond: 300 };
const measured = { count: 1_000, perSecond: rate };

export async function runStartLatencyBench(server: BenchPostgres): Promise<Report> {
  const database = await server.createDatabase("bench_start_latency");
  await using plane = await startControlPlane(database);
  const arrivals = new Map<string, number>();
  const onPlace = ({ workloadId }: { workloadId: string }) => arrivals.set(workloadId, performance.now());
  const ignore = () => undefined;
  using _fleet = await openFleet(plane, {
    size: fleetSize,
    slots: 1_000,
    onPlace,
    onCompleted: ignore,
    onLost: ignore,
  });
  using caller = await openCaller(plane);
  const commit_ms = await measureCommit_ms(database);
  const pacedCommit_ms = await measureCommit_ms(database, 1000 / rate);
  await startSteadily(caller, warmUp);
  const starts = await startSteadily(caller, measured);
  const times = starts.map(({ id, time }) => arrivals.get(id)! - time);
  const p50 = percentile(times, 0.5);
  const p99 = percentile(times, 0.99);
  const figure = (name: string, value: number, aim_ms: number) => ({
    name,
    value,
    unit: "ms",
    baseline: { name: "one commit of one row, median, ms", value: commit_ms },
    ratio: commit_ms / value,
    target: `≤ ${aim_ms.toFixed(1)} ms`,
  });
  const aim_ms = 2 * commit_ms + 2;
  return {
    figures: [
      figure(`start to the runner at ${rate}/s, p50`, p50, aim_ms),
      figure(`start to the runner at ${rate}/s, p99`, p99, 5 * aim_ms),
    ],
    limit: `a commit of one row at this rate takes ${pacedCommit_ms.toFixed(2)} ms, since between two everything cools; the rest is two hops, TLS and two event loops`,
  };
}

/** One start each so often whether or not earlier ones were answered, so that a stall counts in full. */
async function startSteadily(
  caller: Caller,
  { count, perSecond }: { count: number; perSecond: number },
): Promise<{ id: string; time: number }[]> {
  const began = performance.now();
  const calls: Promise<{ id: string; time: number }>[] = [];
  while (calls.length < count) {
    const due = began + (calls.length * 1000) / perSecond;
    while (performance.now() < due) await delay(1);
    calls.push(startOne(caller));
  }
  return Promise.all(calls);
}

async function startOne(caller: Caller): Promise<{ id: string; time: number }> {
  const time = performance.now();
  return { id: await caller.start(), time };
}
