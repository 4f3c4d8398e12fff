import { tokenAllows } from "../domain/access.ts";
import { AgynError } from "../domain/errors.ts";
import type { Loop } from "../loops/driver.ts";
import type { Placer } from "../loops/placer.ts";
import type { Counter, Meters } from "../meters.ts";
import type { SessionRegistry } from "../sessions/session-registry.ts";
import type { Sql } from "../store/database.ts";
import type { Authenticate } from "./authenticate.ts";
import type { PlainPages } from "./user-plane.ts";

export type PagesDeps = {
  sql: Sql;
  loops: readonly Loop[];
  meters: Meters;
  placer: Placer;
  registry: SessionRegistry;
  authenticate: Authenticate;
  /** Whether everybody who reaches the user port may see `/metrics`. */
  openMetrics: boolean;
};

/** A loop that has not completed for so long, beyond its period, is stuck (I11). */
const loopLimit_ms = 30_000;
const databaseLimit_ms = 3_000;
/** Loops that run less often than the limit. */
const slowLoops = new Set(["sweep", "renew-own-certificate"]);

const metricsPermission = "server.read";

/** `/healthz`, `/readyz` and `/metrics`. The last tells of every organization, so it is for the operator (I7). */
export function createPages(deps: PagesDeps): PlainPages {
  return async ({ path, isLocal, authorization }) => {
    if (path === "/healthz") return { status: 200, type: "text/plain", body: "ok\n" };
    if (path === "/readyz") return readiness(deps);
    if (path !== "/metrics") return undefined;
    const refusal = isLocal || deps.openMetrics ? undefined : await refuseMetrics(deps, authorization);
    return refusal ?? { status: 200, type: "text/plain; version=0.0.4", body: exposition(deps) };
  };
}

/** What is answered to whoever is no cluster admin. */
async function refuseMetrics({ authenticate }: PagesDeps, authorization: string | null) {
  const refused = (status: number, body: string) => ({ status, type: "text/plain", body: `${body}\n` });
  try {
    const caller = await authenticate(authorization);
    if (caller.kind !== "user")
      return refused(401, "from another machine an access token of a cluster admin is needed");
    if (caller.clusterAdmin && tokenAllows(caller.scopes, metricsPermission)) return undefined;
    return refused(403, `an access token of a cluster admin with the scope ${metricsPermission} is needed`);
  } catch (error) {
    if (error instanceof AgynError) return refused(401, error.message);
    return refused(503, "the access token could not be looked up");
  }
}

/** Health is progress: the database answers, and every loop completes, in its time. Empty when ready. */
async function faultsOf({ sql, loops }: Pick<PagesDeps, "sql" | "loops">): Promise<string[]> {
  const stuck = loops.filter(
    (loop) => !slowLoops.has(loop.name) && performance.now() - loop.completed_ms > loopLimit_ms,
  );
  const answered = await Promise.race([
    sql`select 1`.then(
      () => true,
      () => false,
    ),
    new Promise<boolean>((resolve) => setTimeout(() => resolve(false), databaseLimit_ms).unref()),
  ]);
  const faults = stuck.map((loop) => `loop ${loop.name} has not completed for ${loopLimit_ms / 1000} s`);
  return answered ? faults : [...faults, "the database does not answer"];
}

/** Whether this replica is ready to serve. */
export async function isReady(deps: Pick<PagesDeps, "sql" | "loops">): Promise<boolean> {
  return (await faultsOf(deps)).length === 0;
}

async function readiness(deps: PagesDeps) {
  const faults = await faultsOf(deps);
  if (faults.length === 0) return { status: 200, type: "text/plain", body: "ready\n" };
  return { status: 503, type: "text/plain", body: `${faults.join("\n")}\n` };
}

/** The Prometheus text format, version 0.0.4. */
function exposition({ loops, meters, placer, registry }: PagesDeps): string {
  const lines: string[] = [];
  const write = (
    name: string,
    type: "counter" | "gauge",
    help: string,
    samples: readonly (readonly [string, number])[],
  ) => {
    lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
    for (const [labels, value] of samples) lines.push(`${name}${labels} ${value}`);
  };
  write("agyn_placements_total", "counter", "Placements made by this replica.", total(meters.placements));
  write("agyn_enrollments_total", "counter", "Identities issued by enrollment.", total(meters.enrollments));
  write("agyn_log_bytes_total", "counter", "Compressed log bytes made durable.", total(meters.logBytes));
  write("agyn_refusals_total", "counter", "Calls refused, by reason.", byLabel("reason", meters.refusals));
  write(
    "agyn_metrics_samples_dropped_total",
    "counter",
    "Measurements of runners that were not kept, by reason.",
    byLabel("reason", meters.samplesDropped),
  );
  write("agyn_swept_total", "counter", "Rows deleted because of their age, by kind.", byLabel("kind", meters.swept));
  write("agyn_waiting_workloads", "gauge", "Workloads that wait for a runner, on the leader.", [["", placer.waiting]]);
  write("agyn_leader", "gauge", "1 on the replica that places.", [["", placer.leads ? 1 : 0]]);
  write("agyn_runner_sessions", "gauge", "Runners connected to this replica.", [["", registry.size]]);
  write(
    "agyn_open_streams",
    "gauge",
    "Streams open at this replica, by method.",
    byLabel("method", meters.openStreams),
  );
  write(
    "agyn_loop_duration_seconds",
    "gauge",
    "How long each loop's last run took.",
    loops.map((loop) => [`{loop="${loop.name}"}`, loop.duration_ms / 1000]),
  );
  write(
    "agyn_loop_age_seconds",
    "gauge",
    "How long ago each loop completed.",
    loops.map((loop) => [`{loop="${loop.name}"}`, (performance.now() - loop.completed_ms) / 1000]),
  );
  write("agyn_event_loop_lag_seconds", "gauge", "99th percentile of the event loop's delay since the last reading.", [
    ["", meters.eventLoopLag()],
  ]);
  return `${lines.join("\n")}\n`;
}

function total(counter: Counter): readonly (readonly [string, number])[] {
  return [["", counter.values.get("") ?? 0]];
}

function byLabel(label: string, counter: Counter): readonly (readonly [string, number])[] {
  return [...counter.values].map(([value, count]) => [`{${label}="${value}"}`, count]);
}
