import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { delimiter, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Code, ConnectError, createClient, type Client } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { RunnerStatus } from "../../proto/gen/agyn/runners/v1/runner_pb.ts";
import { RunnersService } from "../../proto/gen/agyn/runners/v1/runners_service_pb.ts";
import { writeSecretFile } from "../../server/src/data-directory.ts";
import { parseServiceToken } from "../../wire/service-token.ts";

/** The runner of this machine, served by a process that ends with this one. */
export type LocalRunner = {
  readonly name: string;
  /** Whether it is connected; waits for that, for so long. */
  untilConnected(timeout_ms: number): Promise<boolean>;
  /** Lets it end what it has, as `agyn-runner` does on SIGTERM, and waits for its end; asked again, it leaves at once. */
  stop(): Promise<void>;
};

export type LocalRunnerOptions = {
  gateway: string;
  dataDir: string;
  adminToken: string | undefined;
  /** File with the certificate of the gateway, which need not be known to this machine, nor name it. */
  certificate: string | undefined;
  /** Address of the runner plane here; the one that others dial may lead nowhere from this machine. */
  runnerPlane: string;
  /** Of the control plane: where its secrets lie, above all the admin token, which no job is to see. */
  hidden: readonly string[];
  logLevel: string;
  say: (text: string) => void;
};

const name = "local";
const organization = "default";
/** Of which each counts only where it is found. */
const detectable = ["docker", "git", "gpu", "node"];
/** Before a runner that ended by itself is started again; doubled each time, up to the greatest. */
const restartDelay_ms = { first: 500, greatest: 30_000 };
/** What a stopping runner may take beyond the time it gives its workloads: their grace, and handing in the results. */
const stopTimeout_ms = 30_000;
/** Exit codes of `agyn-runner` after which it would only fail again. */
const hopeless = new Map([
  [2, "its settings cannot be used"],
  [3, "the control plane refuses it"],
  [4, "the control plane is not the one of its service token"],
]);

/** Registers the runner where it is not there, and keeps a process for it until `stop`. */
export async function startLocalRunner(options: LocalRunnerOptions): Promise<LocalRunner> {
  const { gateway, adminToken, dataDir } = options;
  const runners = adminToken === undefined ? undefined : createRunnersClient(gateway, adminToken);
  const tokenFile = join(dataDir, "local-runner.token");
  const runnerId = await claimToken(runners, tokenFile);
  const directory = join(dataDir, "runners", runnerId);
  const stopping = new AbortController();
  let child: ChildProcess | undefined;
  const serving = (async () => {
    let wait_ms = restartDelay_ms.first;
    while (!stopping.signal.aborted) {
      const started = performance.now();
      child = spawnRunner(options, tokenFile, directory);
      await once(child, "exit");
      const reason = hopeless.get(child.exitCode ?? -1);
      if (stopping.signal.aborted) return;
      if (reason !== undefined) {
        options.say(`runner ${name} has ended: ${reason}; the control plane goes on without it`);
        return;
      }
      if (performance.now() - started > restartDelay_ms.greatest) wait_ms = restartDelay_ms.first;
      options.say(`runner ${name} has ended and is started again in ${wait_ms / 1000} s; its workloads go on`);
      await delay(wait_ms, undefined, { signal: stopping.signal }).catch(() => undefined);
      wait_ms = Math.min(wait_ms * 2, restartDelay_ms.greatest);
    }
  })();
  return {
    name,
    untilConnected: (timeout_ms) => untilConnected(runners, runnerId, timeout_ms),
    async stop() {
      stopping.abort();
      child?.kill("SIGTERM");
      const timer = setTimeout(() => child?.kill("SIGKILL"), stopTimeout_ms);
      await serving;
      clearTimeout(timer);
    },
  };
}

type RunnersClient = Client<typeof RunnersService>;

/** TLS to this process itself needs no proof of who is there. */
function createRunnersClient(gateway: string, token: string): RunnersClient {
  const transport = createConnectTransport({
    baseUrl: gateway,
    httpVersion: "1.1",
    nodeOptions: { rejectUnauthorized: false },
    interceptors: [
      (next) => (request) => {
        request.header.set("authorization", `Bearer ${token}`);
        return next(request);
      },
    ],
  });
  return createClient(RunnersService, transport);
}

/** Makes sure that the file holds a service token of the runner, and returns the runner's id. */
async function claimToken(runners: RunnersClient | undefined, tokenFile: string): Promise<string> {
  const kept = readKeptToken(tokenFile);
  if (runners === undefined) {
    if (kept !== undefined) return kept;
    throw new Error(
      "the runner of this machine cannot be registered: the admin token is not in the data directory; register one with ./agynctl and start ./agyn-runner with its token",
    );
  }
  const found = await findRunner(runners, kept);
  if (found !== undefined && found === kept) return kept;
  const { runnerId, serviceToken } = found === undefined ? await register(runners) : await rotate(runners, found);
  await writeSecretFile(tokenFile, `${serviceToken}\n`);
  return runnerId;
}

function readKeptToken(tokenFile: string): string | undefined {
  try {
    const token = parseServiceToken(readFileSync(tokenFile, "utf8"));
    return "error" in token ? undefined : token.runnerId;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** The runner of the kept token, or the one of the name; an admin token that was revoked leaves the kept one as it is. */
async function findRunner(runners: RunnersClient, kept: string | undefined): Promise<string | undefined> {
  for (const reference of kept === undefined ? [name] : [kept, name]) {
    try {
      const { runner } = await runners.getRunner({ runner: reference, organization });
      if (runner !== undefined && runner.deleteTime === undefined) return runner.id;
    } catch (error) {
      const { code } = ConnectError.from(error);
      if (kept !== undefined && (code === Code.Unauthenticated || code === Code.PermissionDenied)) return kept;
      if (code !== Code.NotFound) throw error;
    }
  }
  return undefined;
}

async function register(runners: RunnersClient): Promise<{ runnerId: string; serviceToken: string }> {
  const { runner, serviceToken } = await runners.registerRunner({
    name,
    scope: { kind: { case: "organization", value: organization } },
    capabilities: detectable,
  });
  return { runnerId: runner!.id, serviceToken };
}

async function rotate(runners: RunnersClient, runnerId: string): Promise<{ runnerId: string; serviceToken: string }> {
  const { serviceToken } = await runners.rotateServiceToken({ runner: runnerId });
  return { runnerId, serviceToken };
}

function spawnRunner(options: LocalRunnerOptions, tokenFile: string, directory: string): ChildProcess {
  const main = join(import.meta.dirname, "../../runner/src/main.ts");
  const where = ["--gateway", options.gateway, "--token-file", tokenFile, "--data-dir", directory];
  const hidden = options.hidden.filter((path) => existsSync(path)).flatMap((path) => ["--hide", path]);
  const plane = ["--runner-plane", options.runnerPlane];
  const how = ["--slots", String(availableParallelism()), "--parent-pipe", "--log-level", options.logLevel];
  const trust = options.certificate === undefined ? [] : ["--ca-file", options.certificate];
  return spawn(process.execPath, [main, ...where, ...hidden, ...plane, ...trust, ...how], {
    // The pipe of the standard input is what tells the runner that this process is gone. A Ctrl-C of the terminal is for this
    // process alone, which then ends the runner: hence a session of its own.
    stdio: ["pipe", "ignore", "inherit"],
    detached: true,
    env: runnerEnvironment(),
  });
}

/** Without this server's secrets, and with the search path as it was before npm put its own directories first: jobs get it. */
function runnerEnvironment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([key]) => !/^(AGYN_|DATABASE_URL$|npm_)/i.test(key));
  const path = (process.env["PATH"] ?? "")
    .split(delimiter)
    .filter((folder) => !/\/node_modules\/\.bin$|\/node-gyp-bin$/.test(folder));
  return { ...Object.fromEntries(kept), PATH: path.join(delimiter) };
}

async function untilConnected(
  runners: RunnersClient | undefined,
  runnerId: string,
  timeout_ms: number,
): Promise<boolean> {
  if (runners === undefined) return false;
  const deadline = Date.now() + timeout_ms;
  while (Date.now() < deadline) {
    const { runner } = await runners.getRunner({ runner: runnerId });
    if (runner?.status === RunnerStatus.ENROLLED) return true;
    await delay(100);
  }
  return false;
}
