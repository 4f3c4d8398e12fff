import { readFileSync, realpathSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { readIdentityFile } from "../../overlay/openziti/identity-file.ts";
import { gatewayTrust, type GatewayTrust } from "../../wire/gateway-trust.ts";
import { parseServiceToken, type ServiceToken } from "../../wire/service-token.ts";
import { openZitiSdkPackage } from "../../overlay/openziti-sdk.ts";
import { readSidecarEndpoint } from "../../overlay/sidecar.ts";
import { parseAddress } from "./endpoints.ts";
import type { HiddenPaths } from "./executors/isolation.ts";
import { FatalError } from "./fatal-error.ts";
import type { Gateway } from "./gateway.ts";
import type { RunnerEndpoint } from "./identity-store.ts";
import { proxiesOf, type Proxies } from "./proxies.ts";
import { messageOf } from "./refusal.ts";
import { executorNames, type ExecutorName } from "./create-executors.ts";

/** Most bytes that are read of a token file. */
const maximumTokenFileBytes = 1024 * 1024;

const logLevels = ["trace", "debug", "info", "warn", "error"] as const;

/** All that the command line and the environment say. */
export type RunnerConfig = {
  gateway: Gateway;
  gatewayTrust: GatewayTrust | undefined;
  runnerPlane: RunnerEndpoint | undefined;
  /** The package or directory of OpenZiti's own SDK, to dial with. */
  zitiSdk: string | undefined;
  proxies: Proxies;
  token: ServiceToken | undefined;
  dataDirectory: string | undefined;
  isEphemeral: boolean;
  capacity: Record<string, number>;
  executors: ExecutorName[];
  hidden: HiddenPaths;
  isUnsafeSharedUser: boolean;
  opensTunnels: boolean;
  isUnsafeSharedForward: boolean;
  drainTimeoutMs: number;
  hasParentPipe: boolean;
  logLevel: (typeof logLevels)[number];
};

type Flags = {
  gateway?: string;
  caFile?: string;
  zitiIdentity?: string;
  runnerPlane?: string;
  sidecar?: string;
  zitiSdk?: string | true;
  proxy?: string;
  tokenFile?: string;
  hide?: string[];
  dataDir?: string;
  ephemeral?: true;
  slots: number;
  resource?: Record<string, number>;
  executor?: ExecutorName[];
  unsafeSharedUser?: true;
  unsafeSharedForward?: true;
  tunnels: boolean;
  drainTimeout: number;
  parentPipe?: true;
  logLevel: (typeof logLevels)[number];
};

type Surroundings = { environment: NodeJS.ProcessEnv; version: string };

/**
 * What the arguments (without the program) and the environment say; `undefined` where only help or the version was
 * asked for, which is then written. Throws a `FatalError` that names the flag and the rule.
 */
export function parseConfig(argv: readonly string[], surroundings: Surroundings): RunnerConfig | undefined {
  const command = createCommand(surroundings.version);
  try {
    command.parse(argv, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return undefined;
    throw new FatalError("usage", error.message.replace(/^error: /, ""));
  }
  return toConfig(command.opts<Flags>(), surroundings);
}

function createCommand(version: string): Command {
  return new Command("agyn-runner")
    .description("Serves workloads of an agyn control plane on this machine")
    .version(version)
    .option("--gateway <url>", "the control plane's address, such as https://agyn.example.org (or AGYN_GATEWAY)")
    .option("--ca-file <file>", "PEM file of the authority that signed the gateway's certificate (or AGYN_CA_FILE)")
    .option("--ziti-identity <file>", "reach the gateway over OpenZiti as this identity (or AGYN_ZITI_IDENTITY)")
    .option("--runner-plane <host:port>", "dial the runner plane there, not where the control plane says it is")
    .option("--sidecar <host:port>", "dial the runner plane by the tunneler there, or at unix:/path")
    .option(
      "--ziti-sdk [package]",
      "dial OpenZiti networks with its own SDK for Node, from the package or directory given",
    )
    .option("--proxy <url>", "an HTTP proxy for everything that is dialed (or HTTPS_PROXY, HTTP_PROXY, NO_PROXY)")
    .option("--token-file <file>", "a file that holds the service token (or AGYN_SERVICE_TOKEN)")
    .option("--data-dir <directory>", "where identity and workloads are kept (or AGYN_RUNNER_DATA_DIR)")
    .option("--ephemeral", "keep the identity in memory only")
    .option("--slots <n>", "workloads at one time", toPositive, 1)
    .option("--resource <name=amount>", "a resource that workloads may ask for, such as cpu=4; repeatable", toResource)
    .addOption(new Option("--executor <name...>", "ways of running workloads that are offered").choices(executorNames))
    .option("--hide <path>", "a file or directory that jobs may not look into, such as ~/.ssh; repeatable", toHidden)
    .option("--unsafe-shared-user", "serve the whole cluster although workloads are not isolated here")
    .option(
      "--unsafe-shared-forward",
      "with cluster scope, let people of every organization reach the ports of this machine",
    )
    .option("--no-tunnels", "let nobody into workloads while they run: no exec, port-forward and cp")
    .option("--drain-timeout <seconds>", "how long a stopping runner waits for its workloads", toSeconds, 10)
    .option("--parent-pipe", "end when standard input ends; workloads go on and are adopted by the next start")
    .addOption(
      new Option("--log-level <level>", "least important messages that are written").choices(logLevels).default("info"),
    )
    .exitOverride()
    .configureOutput({ outputError: () => {} });
}

function toConfig(flags: Flags, { environment }: Surroundings): RunnerConfig {
  const text = flags.tokenFile === undefined ? environment["AGYN_SERVICE_TOKEN"] : readTokenFile(flags.tokenFile);
  const token = text === undefined ? undefined : toToken(text, flags.tokenFile ?? "AGYN_SERVICE_TOKEN");
  const isEphemeral = flags.ephemeral === true;
  return {
    gateway: toGateway(flags, environment),
    gatewayTrust: readTrust(flags.caFile ?? environment["AGYN_CA_FILE"]),
    runnerPlane: toRunnerPlane(flags),
    zitiSdk: flags.zitiSdk === true ? openZitiSdkPackage : flags.zitiSdk,
    proxies: proxiesOf(flags.proxy, environment),
    token,
    dataDirectory: dataDirectoryOf(
      flags.dataDir ?? environment["AGYN_RUNNER_DATA_DIR"],
      token,
      isEphemeral,
      environment,
    ),
    isEphemeral,
    capacity: { ...flags.resource, slots: flags.slots },
    executors: flags.executor ?? [...executorNames],
    hidden: hiddenPathsOf(flags, environment),
    isUnsafeSharedUser: flags.unsafeSharedUser === true,
    opensTunnels: flags.tunnels,
    isUnsafeSharedForward: flags.unsafeSharedForward === true,
    drainTimeoutMs: flags.drainTimeout * 1000,
    hasParentPipe: flags.parentPipe === true,
    logLevel: flags.logLevel,
  };
}

/** What the operator names, and the files of secrets that this runner was given. */
function hiddenPathsOf({ hide = [], tokenFile, zitiIdentity }: Flags, environment: NodeJS.ProcessEnv): HiddenPaths {
  const given = [tokenFile ?? "", zitiIdentity ?? environment["AGYN_ZITI_IDENTITY"] ?? ""];
  // A pipe is read once, and is no file for anybody else.
  const secrets = given.filter((path) => path !== "" && statSync(path).isFile());
  const isDirectory = (path: string): boolean => statSync(path).isDirectory();
  return {
    directories: hide.filter(isDirectory),
    files: [...hide.filter((path) => !isDirectory(path)), ...secrets.map((path) => realpathSync(path))],
  };
}

/** One way to the gateway: by its URL, or by an identity that may dial enrollment in a network. */
function toGateway(flags: Flags, environment: NodeJS.ProcessEnv): Gateway {
  const url = flags.gateway ?? environment["AGYN_GATEWAY"] ?? "";
  const identity = flags.zitiIdentity ?? environment["AGYN_ZITI_IDENTITY"] ?? "";
  if (url !== "" && identity !== "") {
    throw new FatalError("usage", "the gateway is reached by --gateway or by --ziti-identity: give one of them");
  }
  if (identity !== "") return readNetworkIdentity(identity);
  if (url !== "") return toUrl(url);
  throw new FatalError(
    "usage",
    "the control plane's address is needed: --gateway URL, or AGYN_GATEWAY; or --ziti-identity FILE",
  );
}

function readNetworkIdentity(path: string): Gateway {
  try {
    const { caPem, ...identity } = readIdentityFile(path);
    if (caPem === undefined) throw new Error(`${path} does not name the network's authorities (id.ca)`);
    return { ...identity, caPem };
  } catch (error) {
    throw new FatalError("usage", `--ziti-identity: ${messageOf(error)}`);
  }
}

function toUrl(text: string): string {
  const url = URL.parse(text);
  if (url !== null && (url.protocol === "http:" || url.protocol === "https:")) return url.href.replace(/\/$/, "");
  throw new FatalError("usage", `gateway ${JSON.stringify(text)} is not an http or https URL`);
}

function readTrust(path: string | undefined): GatewayTrust | undefined {
  if (path === undefined || path === "") return undefined;
  let pem: string;
  try {
    pem = readFileSync(path, "utf8");
  } catch (error) {
    throw new FatalError("usage", `the certificates (--ca-file) cannot be read: ${messageOf(error)}`);
  }
  const trust = gatewayTrust(pem);
  if ("error" in trust) throw new FatalError("usage", `--ca-file: ${path} ${trust.error}`);
  return trust;
}

/** Where to dial instead of what the control plane names. */
function toRunnerPlane({ runnerPlane, sidecar }: Flags): RunnerEndpoint | undefined {
  if (runnerPlane !== undefined && sidecar !== undefined) {
    throw new FatalError("usage", "the runner plane is dialed by --runner-plane or by --sidecar: give one of them");
  }
  if (runnerPlane !== undefined) {
    checked("--runner-plane", () => parseAddress(runnerPlane));
    return { kind: "mtls", address: runnerPlane };
  }
  if (sidecar === undefined) return undefined;
  checked("--sidecar", () => readSidecarEndpoint(sidecar));
  return { kind: "sidecar", address: sidecar };
}

function checked(flag: string, parse: () => unknown): void {
  try {
    parse();
  } catch (error) {
    throw new FatalError("usage", `${flag}: ${messageOf(error)}`);
  }
}

function readTokenFile(path: string): string {
  try {
    const text = readFileSync(path, "utf8");
    if (text.length <= maximumTokenFileBytes) return text;
  } catch (error) {
    throw new FatalError("usage", `the token file cannot be read: ${messageOf(error)}`);
  }
  throw new FatalError("usage", `the token file ${path} is larger than ${maximumTokenFileBytes} bytes`);
}

function toToken(text: string, source: string): ServiceToken {
  const token = parseServiceToken(text);
  if ("error" in token) throw new FatalError("usage", `${source}: ${token.error}`);
  return token;
}

function dataDirectoryOf(
  given: string | undefined,
  token: ServiceToken | undefined,
  isEphemeral: boolean,
  environment: NodeJS.ProcessEnv,
): string | undefined {
  if (given !== undefined && given !== "") return resolve(given);
  if (isEphemeral) return undefined;
  if (token === undefined) {
    throw new FatalError(
      "usage",
      "a service token (--token-file) or the directory of an enrolled runner (--data-dir) is needed",
    );
  }
  const isRoot = process.getuid?.() === 0;
  const state = isRoot ? "/var/lib" : (environment["XDG_STATE_HOME"] ?? join(homedir(), ".local", "state"));
  return join(state, "agyn", "runners", token.runnerId);
}

function toPositive(text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1 && value <= 10_000) return value;
  throw new InvalidArgumentError("it must be a whole number from 1 to 10000");
}

function toSeconds(text: string): number {
  const value = Number(text);
  if (text !== "" && value >= 0 && value <= 86_400) return value;
  throw new InvalidArgumentError("it must be a number of seconds from 0 to 86400");
}

function toHidden(text: string, before: string[] = []): string[] {
  try {
    return [...before, realpathSync(text)];
  } catch (error) {
    throw new InvalidArgumentError(messageOf(error));
  }
}

function toResource(text: string, before: Record<string, number> = {}): Record<string, number> {
  const match = /^([a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?)=(\d{1,15}(?:\.\d{1,6})?)$/.exec(text);
  const name = match?.[1];
  if (name === undefined) throw new InvalidArgumentError("it must be name=amount, such as cpu=4");
  if (name === "slots") throw new InvalidArgumentError("slots have a flag of their own, --slots");
  if (Object.hasOwn(before, name)) throw new InvalidArgumentError(`${name} is given twice`);
  if (Object.keys(before).length >= 15)
    throw new InvalidArgumentError("there can be at most 15 resources beside slots");
  return { ...before, [name]: Number(match?.[2]) };
}
