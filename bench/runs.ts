/** Runs and the queue beside the time of one commit: a large run, a chain, and starts and looks into a queue of 100,000. */
import { setTimeout as delay } from "node:timers/promises";
import { openDatabase, type Sql } from "../server/src/store/database.ts";
import type { Place } from "../proto/gen/agyn/orchestrator/v1/placements_pb.ts";
import { startControlPlane, type ControlPlane } from "./control-plane.ts";
import { measureCommit_ms, type BenchPostgres } from "./database.ts";
import { median, percentile, type Figure, type Report } from "./figure.ts";
import { openFleet } from "./fleet.ts";

const backlog = 100_000;
/** Different demands, and projects' worth of matrices, among the jobs that wait. */
const kinds = 20;
const largeRun = 1_000;
const steps = 9;
const rate = 100;
const warmUp = 200;
const measured = 600;
const looks = 40;

export async function runRunsBench(server: BenchPostgres): Promise<Report> {
  const database = await server.createDatabase("bench_runs");
  await using plane = await startControlPlane(database);
  const arrivals = new Map<string, number[]>();
  const onPlace = (place: Place) => {
    const run = place.spec!.environment.find((one) => one.name === "AGYN_RUN_ID")?.value ?? "";
    arrivals.set(run, [...(arrivals.get(run) ?? []), performance.now()]);
  };
  const ignore = () => undefined;
  using _fleet = await openFleet(plane, { size: 10, slots: 1_000, onPlace, onCompleted: ignore, onLost: ignore });
  const commit_ms = await measureCommit_ms(database);
  const figure = (name: string, value: number, aim_ms?: number): Figure => ({
    ...{ name, value, unit: "ms", ratio: commit_ms / value },
    baseline: { name: "one commit of one row, median, ms", value: commit_ms },
    ...(aim_ms !== undefined && { target: `≤ ${aim_ms.toFixed(1)} ms` }),
  });
  const chain_ms = await measureChain(plane, arrivals);
  await using filler = {
    sql: openDatabase(database.target, 1),
    [Symbol.asyncDispose]: () => filler.sql.end({ timeout: 5 }),
  };
  const ids = await fillQueue(plane, filler.sql);
  const large_ms = await timed(() => start(plane, manyJobs, "absent"));
  const page_ms = await timesOf(() => plane.queue.listQueue({ pageSize: 100 }));
  const explain_ms = await timesOf((turn) => plane.queue.explainJob({ job: ids[turn * 7]! }));
  const move_ms = await timesOf((turn) =>
    plane.queue.moveJob({ job: ids[turn * 11]!, to: { case: "before", value: ids[50_000 + turn]! } }),
  );
  await startSteadily(plane, warmUp);
  const starts = await startSteadily(plane, measured);
  const waits = starts.map(({ id, time }) => arrivals.get(id)![0]! - time);
  const among = `among ${backlog.toLocaleString("en")} waiting jobs`;
  return {
    figures: [
      figure(`a run of ${largeRun} jobs to all queued`, large_ms),
      figure(`a step of a chain of ${steps} no-op jobs`, chain_ms),
      figure(`list a page of 100 ${among}, median`, median(page_ms), 20),
      figure(`explain one ${among}, median`, median(explain_ms), 20),
      figure(`move one ${among}, median`, median(move_ms), 20),
      figure(`start of a run to its runner at ${rate}/s ${among}, p50`, percentile(waits, 0.5)),
      figure(`start of a run to its runner at ${rate}/s ${among}, p99`, percentile(waits, 0.99), 5 * commit_ms + 10),
    ],
    limit:
      "a start is two commits, of the run with its jobs and of the claim, with one statement before them; a step of a chain is three",
  };
}

/** Jobs that only a runner could take that never comes. */
const cells = `[${Array.from({ length: 100 }, (_, index) => index).join(", ")}]`;
const manyJobs = `jobs:\n${Array.from({ length: largeRun / 100 }, (_, index) => `  j${index}: { run: x, matrix: { n: ${cells} }, requires: { capabilities: [kind-0] } }\n`).join("")}`;
const chain = `jobs:\n${Array.from({ length: steps }, (_, index) => `  j${index}: { run: x${index === 0 ? "" : `, needs: j${index - 1}`} }\n`).join("")}`;

async function start({ runs }: ControlPlane, text: string, name = ""): Promise<string> {
  const { run } = await runs.startRun({ pipeline: "bench.yaml", content: Buffer.from(text), name });
  return run!.id;
}

/** Milliseconds from one placement of a chain to the next: the median. */
async function measureChain(plane: ControlPlane, arrivals: ReadonlyMap<string, readonly number[]>): Promise<number> {
  const times: number[] = [];
  for (let turn = 0; turn < 5; turn++) {
    const id = await start(plane, chain);
    while ((arrivals.get(id)?.length ?? 0) < steps) await delay(2);
    const placed = arrivals.get(id)!;
    times.push((placed.at(-1)! - placed[0]!) / (steps - 1));
  }
  return median(times);
}

/** Waiting jobs of many kinds whose runner has not come yet; answers their ids in their order, once the server knows of them. */
async function fillQueue(plane: ControlPlane, sql: Sql): Promise<string[]> {
  const capabilities = Array.from({ length: kinds }, (_, kind) => `kind-${kind}`);
  await plane.queue.updateQueueSettings({ maximumQueuedJobs: 10 * backlog });
  await plane.runners.registerRunner({
    name: "absent",
    capabilities,
    scope: { kind: { case: "organization", value: "default" } },
  });
  const run = await start(plane, "jobs:\n  first: { run: x, requires: { capabilities: [kind-0] } }\n");
  await sql`
    insert into job (id, organization_id, run_id, run_number, attempt, name, definition, state, demand, spec, rank, tag, matrix_limit,
      queue_time, queue_deadline)
    select 'job_' || translate(lpad(to_hex(n), 16, '0'), '01', 'yz'), organization_id, run_id, run_number, 1, 'many' || n,
      'many' || n % 50, 'queued', jsonb_set(demand::jsonb, '{capabilities}', jsonb_build_array('kind-' || n % ${kinds}))::json, spec,
      lpad(to_hex(n), 12, '0') || 'i', n, n % 3, now(), now() + interval '1 day'
    from job, generate_series(1, ${backlog}) as n where run_id = ${run} and name = 'first'`;
  await sql`vacuum analyze job`;
  while ((await plane.queue.listQueue({ pageSize: 1 })).depth <= backlog) await delay(100);
  const rows = await sql<{ id: string }[]>`
    select id from job where run_id = ${run} and name like 'many%' order by key`;
  return rows.map((row) => row.id);
}

async function startSteadily(plane: ControlPlane, count: number): Promise<{ id: string; time: number }[]> {
  const began = performance.now();
  const calls: Promise<{ id: string; time: number }>[] = [];
  while (calls.length < count) {
    const due = began + (calls.length * 1000) / rate;
    while (performance.now() < due) await delay(1);
    const time = performance.now();
    calls.push(start(plane, "jobs:\n  a: { run: x }\n").then((id) => ({ id, time })));
  }
  const started = await Promise.all(calls);
  await delay(500);
  return started;
}

async function timesOf(act: (turn: number) => Promise<unknown>): Promise<number[]> {
  const times: number[] = [];
  for (let turn = 0; turn < looks; turn++) times.push(await timed(() => act(turn)));
  return times;
}

async function timed(act: () => Promise<unknown>): Promise<number> {
  const begin = performance.now();
  await act();
  return performance.now() - begin;
}
