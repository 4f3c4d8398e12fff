import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClient, type Interceptor } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { pino } from "pino";
import { LogsService } from "../../proto/gen/agyn/logs/v1/logs_service_pb.ts";
import { OrchestratorService } from "../../proto/gen/agyn/orchestrator/v1/orchestrator_service_pb.ts";
import { WorkloadPhase, type Workload } from "../../proto/gen/agyn/orchestrator/v1/workload_pb.ts";
import { RunnersService } from "../../proto/gen/agyn/runners/v1/runners_service_pb.ts";
import { startRunner, type Runner, type RunnerOptions } from "../../runner/src/runner.ts";
import { settle, toConfig } from "../../server/src/config.ts";
import { openServer, type Server } from "../../server/src/server.ts";
import { parseServiceToken } from "../../wire/service-token.ts";
import { isOverOpenZiti, isReachableFor, networkSettings, openNetwork } from "../support/network.ts";
import { endJobsLeft } from "../support/jobs-left.ts";
import { createTestDatabase } from "../support/postgres.ts";
import { until } from "../support/world.ts";

const log = pino({ level: process.env["AGYN_TEST_LOG"] ?? "silent" });

const fast = {
  heartbeat: "500ms",
  lease: "5s",
  loop_period: "250ms",
  leader_lease: "2s",
  rejection_exclusion: "1s",
  metrics_interval: "200ms",
  shutdown_grace: "200ms",
};

export type ServerWorld = Awaited<ReturnType<typeof openServerWorld>>;

/** A whole control plane on ports of its own, with short intervals. `settings` as in its settings file. */
export async function openServerWorld(settings: Record<string, string> = {}) {
  const directory = mkdtempSync(join(tmpdir(), "agyn-world-"));
  const database = await createTestDatabase();
  const flags = { data_dir: join(directory, "server"), listen: "127.0.0.1:0", runner_listen: "127.0.0.1:0", ...fast };
  const fabric = isOverOpenZiti ? await openNetwork() : undefined;
  const network = fabric && (await networkSettings(fabric, directory));
  const open = (ports: Record<string, string>): Promise<Server> =>
    openServer(toConfig(settle({ ...flags, ...network, ...settings, ...ports }, {}, undefined)), log, database.target);
  let server = await open({});
  const { gateway, userAddress, runnerAddress } = server;
  const token = readFileSync(join(directory, "server", "admin-token"), "utf8").trim();
  const authorize: Interceptor = (next) => (request) => {
    request.header.set("authorization", `Bearer ${token}`);
    return next(request);
  };
  const transport = createGrpcTransport({ baseUrl: gateway, interceptors: [authorize] });
  const orchestrator = createClient(OrchestratorService, transport);
  const runners: Runner[] = [];

  return {
    runners: createClient(RunnersService, transport),
    orchestrator,
    logs: createClient(LogsService, transport),
    directory,
    /** Starts a runner that is registered anew, or the one of `tokenText` again. */
    async startRunner(name: string, options: Partial<RunnerOptions> & { tokenText?: string } = {}) {
      const tokenText = options.tokenText ?? (await this.register(name));
      const parsed = parseServiceToken(tokenText);
      if ("error" in parsed) throw new Error(parsed.error);
      const runner = await startRunner({
        gateway,
        token: parsed,
        dataDirectory: join(directory, name),
        isEphemeral: false,
        capacity: { slots: 4 },
        executors: ["simulated"],
        isUnsafeSharedUser: false,
        version: "0.0.0",
        log,
        ...options,
      });
      runner.done.catch(() => {});
      runners.push(runner);
      return { runner, runnerId: parsed.runnerId, tokenText };
    },
    async register(name: string): Promise<string> {
      const scope = { kind: { case: "organization" as const, value: "default" } };
      const { runner, serviceToken } = await this.runners.registerRunner({ name, scope, labels: { name } });
      if (fabric) await until(`the network knows ${name}`, () => isReachableFor(fabric, runner!));
      return serviceToken;
    },
    /** The workload once it is in `phase`, or has ended otherwise. */
    async workloadIn(id: string, phase: WorkloadPhase): Promise<Workload> {
      const deadline = Date.now() + 40_000;
      for (;;) {
        const { workload } = await orchestrator.getWorkload({ workload: id });
        if (workload === undefined) throw new Error(`workload ${id} is gone`);
        if (workload.phase === phase || workload.phase >= WorkloadPhase.SUCCEEDED) return workload;
        if (Date.now() > deadline)
          throw new Error(`workload ${id} stays in phase ${workload.phase}: ${workload.message}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
    /** Stops the server and starts it again on the same ports and data. */
    async restartServer(): Promise<void> {
      await server.close();
      const address = (of: { host: string; port: number }): string => `${of.host}:${of.port}`;
      server = await open({ listen: address(userAddress), runner_listen: address(runnerAddress) });
    },
    async close(): Promise<void> {
      for (const runner of runners) runner.abandon();
      await Promise.allSettled(runners.map(({ done }) => done));
      await server.close();
      await database.drop();
      await endJobsLeft(directory);
      await fabric?.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
