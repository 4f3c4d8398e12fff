/** Whole lives of workloads that do nothing: started by many callers, run by many runners over mutual TLS, each step durable. */
import { openCaller, type Caller } from "./caller.ts";
import { startControlPlane } from "./control-plane.ts";
import type { BenchPostgres } from "./database.ts";
import { median, type Report } from "./figure.ts";
import { openFleet } from "./fleet.ts";
import { measureGraphile } from "./graphile.ts";

const fleetSize = 100;
const callers = 256;
const connections = 4;
const warmUp_ms = 3_000;
const measured_ms = 4_000;
const runs = 3;

/**
 * Measures whole lives over real connections, from StartWorkload to the acknowledged end, beside graphile-worker on the same
 * PostgreSQL.
 */
export async function runLifeCycleBench(server: BenchPostgres): Promise<Report> {
  const { single, batched } = await measureGraphile(server);
  await using plane = await startControlPlane(await server.createDatabase("bench_life_cycle"));
  let completed = 0;
  let lost = 0;
  using _fleet = await openFleet(plane, {
    size: fleetSize,
    slots: 1_000,
    onPlace: () => undefined,
    onCompleted: () => void completed++,
    onLost: () => void lost++,
  });
  using open = new DisposableStack();
  const clients: Caller[] = [];
  while (clients.length < connections) clients.push(open.use(await openCaller(plane)));
  await startFor(clients, warmUp_ms);
  const rates: number[] = [];
  const serverShares: number[] = [];
  const serverCosts_us: number[] = [];
  const benchCosts_us: number[] = [];
  for (let turn = 0; turn < runs; turn++) {
    const before = { completed, time: performance.now(), cpu_ms: await plane.cpu_ms(), own: process.cpuUsage() };
    await startFor(clients, measured_ms);
    const time_ms = performance.now() - before.time;
    const own = process.cpuUsage(before.own);
    const cpu_ms = (await plane.cpu_ms()) - before.cpu_ms;
    const lived = completed - before.completed;
    rates.push((lived / time_ms) * 1000);
    serverShares.push(cpu_ms / time_ms);
    serverCosts_us.push((cpu_ms / lived) * 1000);
    benchCosts_us.push((own.user + own.system) / lived);
  }
  const value = median(rates);
  const name = `life cycles of no-op workloads, ${fleetSize} runners over mTLS, ${callers} callers`;
  const figure = (baseline: string, other: number, target: string) => ({
    name: `${name}, beside ${baseline}`,
    value,
    unit: "/s",
    baseline: { name: `graphile-worker ${baseline}, with add, /s`, value: other },
    ratio: value / other,
    target,
  });
  return {
    figures: [figure("single jobs", single, "≥ 2 ×"), figure("batched jobs", batched, "1 ×")],
    limit: `CPU: a life takes ${median(serverCosts_us).toFixed(0)} µs of the server's one thread, which had ${percent(median(serverShares))} of a core, and ${median(benchCosts_us).toFixed(0)} µs of callers and runners; PostgreSQL has the rest; ${lost} sessions were lost`,
  };
}

async function startFor(clients: readonly Caller[], time_ms: number): Promise<void> {
  const start = performance.now();
  const call = async (client: Caller) => {
    while (performance.now() - start < time_ms) await client.start();
  };
  await Promise.all(Array.from({ length: callers }, (_, position) => call(clients[position % connections]!)));
}

function percent(share: number): string {
  return `${(share * 100).toFixed(0)} %`;
}
