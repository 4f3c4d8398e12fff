import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { createClient, type Client, type Interceptor, type Transport } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import type { DescService } from "@bufbuild/protobuf";
import pino from "pino";
import { AuditService } from "../../proto/gen/agyn/audit/v1/audit_service_pb.ts";
import { LogsService } from "../../proto/gen/agyn/logs/v1/logs_service_pb.ts";
import { OrchestratorService } from "../../proto/gen/agyn/orchestrator/v1/orchestrator_service_pb.ts";
import type { Workload } from "../../proto/gen/agyn/orchestrator/v1/workload_pb.ts";
import { OrganizationsService } from "../../proto/gen/agyn/organizations/v1/organizations_service_pb.ts";
import { RunnerStatus, type Runner } from "../../proto/gen/agyn/runners/v1/runner_pb.ts";
import { RunnersService } from "../../proto/gen/agyn/runners/v1/runners_service_pb.ts";
import { OverlayService } from "../../proto/gen/agyn/overlay/v1/overlay_service_pb.ts";
import { ProjectsService } from "../../proto/gen/agyn/projects/v1/projects_service_pb.ts";
import { ArtifactsService } from "../../proto/gen/agyn/artifacts/v1/artifacts_service_pb.ts";
import { QueueService } from "../../proto/gen/agyn/queue/v1/queue_service_pb.ts";
import { RunsService } from "../../proto/gen/agyn/runs/v1/runs_service_pb.ts";
import { TriggersService } from "../../proto/gen/agyn/triggers/v1/triggers_service_pb.ts";
import { SecretsService } from "../../proto/gen/agyn/secrets/v1/secrets_service_pb.ts";
import { AccessTokensService } from "../../proto/gen/agyn/tokens/v1/access_tokens_service_pb.ts";
import { TunnelsService } from "../../proto/gen/agyn/tunnels/v1/tunnels_service_pb.ts";
import { UsersService } from "../../proto/gen/agyn/users/v1/users_service_pb.ts";
import { WebhooksService } from "../../proto/gen/agyn/webhooks/v1/webhooks_service_pb.ts";
import { settle, toConfig } from "../../server/src/config.ts";
import { openServer, type Server } from "../../server/src/server.ts";
import type { Fabric, FabricOptions } from "./fabric/fabric.ts";
import { endJobsLeft } from "./jobs-left.ts";
import { isReachableFor, networkSettings, openNetwork, openRouterProxy, overlayOfRun } from "./network.ts";
import { createTestDatabase, type TestDatabase } from "./postgres.ts";
import { createTcpProxy, type TcpProxy } from "./tcp-proxy.ts";

/** Settings that make loss and liveness quick; a test may override them. */
export const quickSettings = {
  heartbeat: "500ms",
  lease: "2s",
  leader_lease: "2s",
  loop_period: "250ms",
  shutdown_grace: "500ms",
  metrics_interval: "200ms",
};

/** The clients of one user. */
export type Clients = {
  transport: Transport;
  runners: Client<typeof RunnersService>;
  orchestrator: Client<typeof OrchestratorService>;
  logs: Client<typeof LogsService>;
  tunnels: Client<typeof TunnelsService>;
  projects: Client<typeof ProjectsService>;
  secrets: Client<typeof SecretsService>;
  runs: Client<typeof RunsService>;
  queue: Client<typeof QueueService>;
  triggers: Client<typeof TriggersService>;
  webhooks: Client<typeof WebhooksService>;
  artifacts: Client<typeof ArtifactsService>;
  organizations: Client<typeof OrganizationsService>;
  users: Client<typeof UsersService>;
  tokens: Client<typeof AccessTokensService>;
  audit: Client<typeof AuditService>;
  overlay: Client<typeof OverlayService>;
};

/** A control plane in this process with a database of its own, and runner processes that belong to it. */
export interface World extends AsyncDisposable {
  readonly directory: string;
  readonly database: TestDatabase;
  /** The server; replaced by `restartServer`. */
  readonly server: Server;
  /** The network that its runners come over, if they do. What was done against its protocol fails the test that ends the world. */
  readonly fabric: Fabric | undefined;
  readonly adminToken: string;
  /** Of the first user: cluster admin and owner of `default`. */
  readonly admin: Clients;
  clientsOf(token: string): Clients;
  /** Stops the server and starts another on the same data, on the same ports. */
  restartServer(settings?: Record<string, string>): Promise<void>;
  /** A second server on the same database, with a data directory of its own. */
  addReplica(settings?: Record<string, string>): Promise<{ server: Server; admin: Clients }>;
  /** Registers a runner of `default` (or of the cluster) and writes its token to a file. Over a network, it is known there then. */
  register(name: string, options?: RegisterOptions): Promise<RegisteredRunner>;
  /** A hop that the connections of a runner pass which it makes from now on. */
  openProxy(runner: RegisteredRunner): Promise<TcpProxy>;
  /** Where a runner dials because of `openProxy`, as `host:port`, instead of what it is told. */
  runnerPlaneOf(runner: Pick<RegisteredRunner, "id">): string | undefined;
  /** Starts a runner process. */
  startRunner(runner: RegisteredRunner, options?: RunnerOptions): RunnerProcess;
}

export type RegisterOptions = {
  labels?: Record<string, string>;
  capabilities?: string[];
  cluster?: boolean;
  token?: { maximumUses?: number; sourceCidrs?: string[] };
};
export type RegisteredRunner = { id: string; name: string; token: string; tokenFile: string; dataDirectory: string };
export type RunnerOptions = {
  slots?: number;
  arguments?: string[];
  gateway?: string;
  /** Instead of the gateway's URL: the file of an identity that may dial enrollment in a network. */
  zitiIdentity?: string;
  dataDirectory?: string;
  environment?: NodeJS.ProcessEnv;
};
export type RunnerProcess = {
  process: ChildProcess;
  output: () => string;
  kill(signal: NodeJS.Signals): Promise<number | null>;
};

/** `network`: over an OpenZiti network of these options; `over`: instead of what the run is over. A setting `overlay` says it, too. */
export type WorldOptions = { over?: string; network?: FabricOptions };

export async function createWorld(
  settings: Record<string, string> = {},
  { over = settings["overlay"] ?? overlayOfRun, network = over === "openziti" ? {} : undefined }: WorldOptions = {},
): Promise<World> {
  const directory = await mkdtemp(join(tmpdir(), "agyn-world-"));
  const fabric = network && (await openNetwork(network));
  const database = await createTestDatabase();
  const processes: RunnerProcess[] = [];
  const replicas: Server[] = [];
  const log = pino({ level: process.env["AGYN_TEST_LOG"] ?? "silent" });
  const ofNetwork = fabric && (await networkSettings(fabric, directory));
  const merged = { ...quickSettings, ...ofNetwork, ...settings };
  /** Where a runner dials instead of what it is told. */
  const planes = new Map<string, string>();
  const open = (dataDirectory: string, ports: { user: number; runner: number }, more: Record<string, string>) => {
    const flags = {
      data_dir: dataDirectory,
      listen: `127.0.0.1:${ports.user}`,
      runner_listen: `127.0.0.1:${ports.runner}`,
      ...merged,
      ...more,
    };
    return openServer(toConfig(settle(flags, {}, undefined)), log, database.target);
  };
  const serverDirectory = join(directory, "server");
  let server = await open(serverDirectory, { user: 0, runner: 0 }, {});
  const adminToken = (await readFile(join(serverDirectory, "admin-token"), "utf8")).trim();
  const world: World = {
    directory,
    database,
    get server() {
      return server;
    },
    fabric,
    adminToken,
    admin: clientsFor(server.gateway, adminToken),
    clientsOf: (token) => clientsFor(server.gateway, token),
    async restartServer(more = {}) {
      const ports = { user: server.userAddress.port, runner: server.runnerAddress.port };
      await server.close();
      server = await open(serverDirectory, ports, more);
    },
    async addReplica(more = {}) {
      const replica = join(directory, `replica-${replicas.length}`);
      const masterKey = { master_key_file: join(serverDirectory, "master.key") };
      const added = await open(replica, { user: 0, runner: 0 }, { ...masterKey, ...more });
      replicas.push(added);
      return { server: added, admin: clientsFor(added.gateway, adminToken) };
    },
    async register(name, options = {}) {
      const scope = options.cluster
        ? { kind: { case: "cluster" as const, value: true } }
        : { kind: { case: "organization" as const, value: "default" } };
      const { runner, serviceToken } = await world.admin.runners.registerRunner({
        name,
        scope,
        labels: options.labels ?? {},
        capabilities: options.capabilities ?? [],
        ...(options.token && { tokenOptions: options.token }),
      });
      const tokenFile = join(directory, `${name}.token`);
      await writeFile(tokenFile, serviceToken, { mode: 0o600 });
      if (fabric) await until(`the network knows ${name}`, () => isReachableFor(fabric, runner!));
      return { id: runner!.id, name, token: serviceToken, tokenFile, dataDirectory: join(directory, `runner-${name}`) };
    },
    async openProxy(runner) {
      if (fabric) return openRouterProxy(fabric, runner);
      const proxy = await createTcpProxy(() => `127.0.0.1:${server.runnerAddress.port}`);
      planes.set(runner.id, proxy.address);
      return proxy;
    },
    runnerPlaneOf: ({ id }) => planes.get(id),
    startRunner(runner, options = {}) {
      const plane = planes.get(runner.id);
      const flags = [...(plane === undefined ? [] : ["--runner-plane", plane]), ...(options.arguments ?? [])];
      const gateway = options.gateway ?? server.gateway;
      const started = startRunnerProcess(gateway, runner, { ...options, arguments: flags });
      processes.push(started);
      return started;
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(processes.map((one) => one.kill("SIGKILL")));
      await endJobsLeft(directory);
      for (const replica of replicas) await replica.close();
      await server.close();
      await database.drop();
      await fabric?.close();
      await rm(directory, { recursive: true, force: true });
      if (fabric && fabric.violations.length > 0) throw new Error(fabric.violations.slice(0, 10).join("\n"));
    },
  };
  return world;
}

/** A runner process. */
export function startRunnerProcess(gateway: string, runner: RegisteredRunner, options: RunnerOptions): RunnerProcess {
  const main = join(import.meta.dirname, "../../runner/src/main.ts");
  const dataDirectory = options.dataDirectory ?? runner.dataDirectory;
  const { zitiIdentity } = options;
  const flags = [
    ...(zitiIdentity === undefined ? ["--gateway", gateway] : ["--ziti-identity", zitiIdentity]),
    "--token-file",
    runner.tokenFile,
    "--data-dir",
    dataDirectory,
    "--slots",
    String(options.slots ?? 4),
  ];
  const child = spawn(process.execPath, [main, ...flags, ...(options.arguments ?? [])], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...options.environment },
  });
  let output = "";
  const collect = (chunk: Buffer) => (output = (output + chunk.toString()).slice(-100_000));
  child.stdout.on("data", collect);
  child.stderr.on("data", collect);
  return {
    process: child,
    output: () => output,
    async kill(signal) {
      if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
      const exited = once(child, "exit");
      child.kill(signal);
      await exited;
      return child.exitCode;
    },
  };
}

/** Clients that send a token. */
export function clientsFor(gateway: string, token: string): Clients {
  const authorize: Interceptor = (next) => (request) => {
    if (token !== "") request.header.set("authorization", `Bearer ${token}`);
    return next(request);
  };
  const transport = createGrpcTransport({ baseUrl: gateway, interceptors: [authorize] });
  const client = <S extends DescService>(service: S) => createClient(service, transport);
  return {
    transport,
    runners: client(RunnersService),
    orchestrator: client(OrchestratorService),
    logs: client(LogsService),
    tunnels: client(TunnelsService),
    projects: client(ProjectsService),
    secrets: client(SecretsService),
    runs: client(RunsService),
    queue: client(QueueService),
    triggers: client(TriggersService),
    webhooks: client(WebhooksService),
    artifacts: client(ArtifactsService),
    organizations: client(OrganizationsService),
    users: client(UsersService),
    tokens: client(AccessTokensService),
    audit: client(AuditService),
    overlay: client(OverlayService),
  };
}

/** Waits for a fact: asks until the answer is neither undefined nor false, for at most `timeout_ms`. */
export async function until<T>(
  what: string,
  ask: () => Promise<T | undefined | false> | T | undefined | false,
  timeout_ms = 60_000,
): Promise<T> {
  const deadline = Date.now() + timeout_ms;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== false) return answer;
    if (Date.now() > deadline) throw new Error(`waited ${timeout_ms} ms in vain: ${what}`);
    await delay(25);
  }
}

/** Waits until a runner is connected. */
export function untilConnected(world: World, { id }: RegisteredRunner): Promise<Runner> {
  return until(`runner ${id} is connected`, async () => {
    const { runner } = await world.admin.runners.getRunner({ runner: id });
    return runner?.status === RunnerStatus.ENROLLED && runner;
  });
}

/** Waits until a workload has ended. */
export function untilEnded(clients: Clients, workload: string, timeout_ms = 90_000): Promise<Workload> {
  return until(
    `workload ${workload} ends`,
    async () => {
      const found = (await clients.orchestrator.getWorkload({ workload })).workload!;
      return found.endTime !== undefined && found;
    },
    timeout_ms,
  );
}

/** All lines of a log, as text, until it ends; the pieces of a line that came in pieces are put together. */
export async function readWholeLog(clients: Clients, workload: string): Promise<string[]> {
  const lines: string[] = [];
  let begun = "";
  for await (const message of clients.logs.followLog({ workload })) {
    for (const { content, continued } of message.lines) {
      begun += Buffer.from(content).toString();
      if (continued) continue;
      lines.push(begun);
      begun = "";
    }
  }
  return begun === "" ? lines : [...lines, begun];
}

/** A workload that runs a shell script. */
export function script(text: string) {
  return { command: { case: "script" as const, value: { text, shell: "sh" } } };
}
