/** `npm run bench`: each benchmark in turn on a PostgreSQL of their own. `--json` prints for machines, `--only NAME` runs one. */
import { parseArgs } from "node:util";
import { runArtifactsBench } from "./artifacts.ts";
import { startBenchPostgres, type BenchPostgres } from "./database.ts";
import type { Report } from "./figure.ts";
import { runLifeCycleBench } from "./life-cycle.ts";
import { runLogsBench } from "./logs.ts";
import { runOverlayBench } from "./overlay.ts";
import { runRunsBench } from "./runs.ts";
import { runSelectionBench } from "./selection.ts";
import { runStartLatencyBench } from "./start-latency.ts";
import { runStoreBench } from "./store.ts";
import { toTable } from "./table.ts";
import { runWebhooksBench } from "./webhooks.ts";

const benches: Record<string, (server: BenchPostgres) => Promise<Report>> = {
  selection: runSelectionBench,
  store: runStoreBench,
  "start-latency": runStartLatencyBench,
  "life-cycle": runLifeCycleBench,
  logs: runLogsBench,
  runs: runRunsBench,
  webhooks: runWebhooksBench,
  artifacts: runArtifactsBench,
  overlay: runOverlayBench,
};
/** For each benchmark. */
const timeout_ms = 180_000;

const { values } = parseArgs({ options: { json: { type: "boolean" }, only: { type: "string" } } });
const names = values.only === undefined ? Object.keys(benches) : [values.only];
for (const name of names)
  if (!(name in benches)) fail(`no benchmark is named ${name}: there are ${Object.keys(benches).join(", ")}`);

const starting = startBenchPostgres();
for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.once(
    signal,
    () => void starting.then((started) => started[Symbol.asyncDispose]()).finally(() => process.exit(130)),
  );
await using server = await starting;
const reports: Record<string, Report> = {};
for (const name of names) {
  reports[name] = await within(timeout_ms, name, benches[name]!(server));
  if (!values.json) console.log(toTable(name, reports[name]));
}
if (values.json) console.log(JSON.stringify(reports, undefined, 2));

async function within<T>(time_ms: number, name: string, work: Promise<T>): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`benchmark ${name} took longer than ${time_ms / 1000} s`)), time_ms);
  return Promise.race([work, promise]).finally(() => clearTimeout(timer));
}

function fail(message: string): never {
  console.error(message);
  process.exit(2);
}
