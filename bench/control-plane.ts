/** A control plane of a benchmark: a real server process, and a client of its first user. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClient, type Client, type Interceptor } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { ProjectsService } from "../proto/gen/agyn/projects/v1/projects_service_pb.ts";
import { ArtifactsService } from "../proto/gen/agyn/artifacts/v1/artifacts_service_pb.ts";
import { QueueService } from "../proto/gen/agyn/queue/v1/queue_service_pb.ts";
import { RunsService } from "../proto/gen/agyn/runs/v1/runs_service_pb.ts";
import { RunnersService } from "../proto/gen/agyn/runners/v1/runners_service_pb.ts";
import { TriggersService } from "../proto/gen/agyn/triggers/v1/triggers_service_pb.ts";
import type { BenchDatabase } from "./database.ts";
import type { ServerReady } from "./server-process.ts";

export interface ControlPlane extends AsyncDisposable {
  readonly gateway: string;
  /** The access token of its first user. */
  readonly token: string;
  readonly runners: Client<typeof RunnersService>;
  readonly runs: Client<typeof RunsService>;
  readonly queue: Client<typeof QueueService>;
  readonly projects: Client<typeof ProjectsService>;
  readonly triggers: Client<typeof TriggersService>;
  readonly artifacts: Client<typeof ArtifactsService>;
  /** CPU time that the server process has used, in ms. */
  cpu_ms(): Promise<number>;
}

/** `settings` are added to those that every benchmark has. */
export async function startControlPlane(
  { target }: BenchDatabase,
  settings: Record<string, string> = {},
): Promise<ControlPlane> {
  const directory = await mkdtemp(join(tmpdir(), "agyn-bench-server-"));
  const own = { data_dir: directory, listen: "127.0.0.1:0", runner_listen: "127.0.0.1:0", shutdown_grace: "200ms" };
  const flags = { ...own, ...settings };
  const main = join(import.meta.dirname, "server-process.ts");
  const server = fork(main, [JSON.stringify({ flags, database: target })], { execArgv: serverArguments() });
  const exited = once(server, "exit");
  const [ready] = (await Promise.race([once(server, "message"), exited.then(refuse)])) as [ServerReady];
  const token = (await readFile(join(directory, "admin-token"), "utf8")).trim();
  const authorize: Interceptor = (next) => (request) => {
    request.header.set("authorization", `Bearer ${token}`);
    return next(request);
  };
  const transport = createGrpcTransport({ baseUrl: ready.gateway, interceptors: [authorize] });
  return {
    gateway: ready.gateway,
    token,
    runners: createClient(RunnersService, transport),
    runs: createClient(RunsService, transport),
    queue: createClient(QueueService, transport),
    projects: createClient(ProjectsService, transport),
    triggers: createClient(TriggersService, transport),
    artifacts: createClient(ArtifactsService, transport),
    async cpu_ms() {
      const [time_ns] = (await readFile(`/proc/${server.pid}/schedstat`, "utf8")).split(" ");
      return Number(time_ns) / 1e6;
    },
    async [Symbol.asyncDispose]() {
      server.disconnect();
      await exited;
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** `AGYN_BENCH_SERVER_ARGUMENTS="--cpu-prof"` profiles the server. */
function serverArguments(): string[] {
  return (process.env["AGYN_BENCH_SERVER_ARGUMENTS"] ?? "").split(" ").filter((one) => one !== "");
}

function refuse(): never {
  throw new Error("the server ended before it served");
}
