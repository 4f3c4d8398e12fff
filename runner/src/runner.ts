/** Puts a runner together and takes it apart again. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { randomUUID } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import type { Logger } from "pino";
import { MachineSchema, type Machine as MachineProto } from "../../proto/gen/agyn/orchestrator/v1/placements_pb.ts";
import type { OpenZitiSdk } from "../../overlay/openziti-sdk.ts";
import type { GatewayTrust } from "../../wire/gateway-trust.ts";
import type { ServiceToken } from "../../wire/service-token.ts";
import type { Executor, Isolation } from "./executors/executor.ts";
import { detectIsolation } from "./executors/isolation.ts";
import { leaveJobRoot } from "./executors/job-directory.ts";
import { createProcessExecutor } from "./executors/process.ts";
import { createSimulatedExecutor } from "./executors/simulated.ts";
import { readContent } from "./contents.ts";
import { openDataDirectory, type DataDirectory } from "./data-directory.ts";
import { createDeparture } from "./departure.ts";
import { FatalError } from "./fatal-error.ts";
import { openGateway, type Gateway } from "./gateway.ts";
import { openHoldings } from "./holdings.ts";
import { HostedService } from "./hosted-service.ts";
import { rootPinOf } from "./identity-keys.ts";
import {
  createIdentityMemory,
  openIdentityDirectory,
  type IdentityStore,
  type RunnerEndpoint,
} from "./identity-store.ts";
import { openSealingKey } from "./sealing-key.ts";
import { keepLink } from "./link.ts";
import { Logs } from "./logs.ts";
import { watchLoss } from "./loss-watch.ts";
import { readMachine, type Machine } from "./machine.ts";
import { cutText } from "./messages.ts";
import { createNetworkCredentials } from "./network-credentials.ts";
import type { Proxies } from "./proxies.ts";
import { createRunnerOverlay } from "./runner-overlay.ts";
import type { SessionTerms } from "./session.ts";
import { TransportGate } from "./transport-gate.ts";
import { Tunnels } from "./tunnels.ts";
import { Uploads } from "./uploads.ts";
import { Workloads } from "./workloads.ts";

/** Of the runner protocol. */
const protocolVersion = 1;

/** The ways of running a workload that a runner may be given. */
export const executorNames = ["process", "simulated"] as const;

export type ExecutorName = (typeof executorNames)[number];

export type RunnerOptions = {
  gateway: Gateway;
  /** How the gateway is known by TLS; otherwise by the authorities that this machine trusts. */
  gatewayTrust?: GatewayTrust | undefined;
  /** To be dialed instead of what the control plane names. */
  runnerPlane?: RunnerEndpoint | undefined;
  /** Dials OpenZiti networks in the place of our own client. */
  openZitiSdk?: OpenZitiSdk | undefined;
  /** Without: everything is reached directly. */
  proxies?: Proxies;
  token: ServiceToken | undefined;
  /** `undefined` only with `isEphemeral`: a temporary one, removed at the end. */
  dataDirectory: string | undefined;
  /** The identity is kept in memory only. */
  isEphemeral: boolean;
  /** What there is by resource; `slots` must be there. */
  capacity: Readonly<Record<string, number>>;
  executors: readonly ExecutorName[];
  /** Weaker than what is found here, for those who want it so. */
  isolation?: Isolation;
  /** Accepts cluster scope without isolation. */
  isUnsafeSharedUser: boolean;
  /** Lets people into workloads while they run; yes, unless it is said. */
  opensTunnels?: boolean;
  /** With cluster scope, lets people of every organization reach what listens on this machine's loopback address. */
  isUnsafeSharedForward?: boolean;
  /** Absolute paths of files and directories that jobs in a namespace are not to see, beside the runner's own. */
  hiddenPaths?: readonly string[];
  /** What the machine is, for many runners of one process; otherwise it is looked at. */
  machine?: Machine;
  version: string;
  log: Logger;
};

export type Runner = {
  /** Resolves once the runner has left; rejects with a `FatalError` where it cannot go on. */
  done: Promise<void>;
  /** Takes nothing new, waits up to `timeoutMs` for what it has, ends the rest as `runner_stopped`, and leaves. */
  stop(timeoutMs: number): void;
  /** Ends at once; what runs goes on and is adopted at the next start. */
  abandon(): void;
};

/** Starts a runner: adopts what an earlier process left, enrolls where there is no identity, and stays connected. */
export async function startRunner(options: RunnerOptions): Promise<Runner> {
  const home = openDataDirectory(options.dataDirectory);
  try {
    return await assemble(options, home);
  } catch (error) {
    if (error instanceof FatalError) home.takeBack();
    else home.release();
    throw error;
  }
}

async function assemble(options: RunnerOptions, home: DataDirectory): Promise<Runner> {
  const { log, proxies = {}, opensTunnels = true } = options;
  const { path: directory } = home;
  const store = options.isEphemeral ? createIdentityMemory() : openIdentityDirectory(join(directory, "identity"));
  const runnerId = options.token?.runnerId ?? store.load()?.runnerId;
  if (runnerId === undefined) {
    throw new FatalError("usage", "this runner has no identity yet: a service token is needed (--token-file)");
  }

  const isolation = options.isolation ?? (options.executors.includes("process") ? await detectIsolation() : "none");
  const machine = options.machine ?? (await readMachine());
  const gate = new TransportGate();
  const executors = createExecutors({ options, directory, isolation, runnerId, gate });
  const holdings = await openHoldings({ directory, isDurable: !options.isEphemeral });
  const logs = new Logs({ directory: join(directory, "spools") });
  const uploads = new Uploads({ gate, log });
  const workloads = new Workloads({ executors, capacity: options.capacity, holdings, logs, uploads, log });
  let isShared = false;
  const tunnels = new Tunnels({
    isShut: !opensTunnels,
    wayInto: (of) => workloads.wayInto(of),
    isShared: () => isShared,
    forwardsShared: options.isUnsafeSharedForward === true,
    log,
  });
  await workloads.adopt();

  const watch = watchLoss({ workloads, holdings, bootId: machine.bootId });
  const gateway = openGateway({ ...options, proxies, rootPin: () => rootPinKnown(options, store) });
  const departure = createDeparture({ workloads, log });
  const host = machine.hostname.slice(0, 255);
  const enrollment = { gateway: gateway.client, store, host, signal: departure.abandoned };
  const overlay = createRunnerOverlay({
    proxy: proxies,
    identity: () => store.load()?.identity,
    networkCredentials: createNetworkCredentials(enrollment),
    version: options.version,
    openZitiSdk: options.openZitiSdk,
  });
  const instanceId = randomUUID();
  const isTemporary = options.dataDirectory === undefined;
  let wasWelcome = false;
  const close = async (error?: unknown): Promise<void> => {
    departure.abandon();
    watch.close();
    tunnels.close();
    uploads.close();
    if (isTemporary) await departure.endAll();
    await holdings.close();
    await overlay.close();
    gateway.close();
    // Last, and nothing is awaited after it: what leaves a job's pipe from then on would be in no spool.
    logs.close();
    leaveJobRoot(jobsBelow(directory));
    // Who never became a runner leaves nothing behind; who is to be tried again keeps its key.
    const isInVain = error instanceof FatalError && !wasWelcome && store.load()?.identity === undefined;
    if (isInVain) home.takeBack();
    else home.release();
  };

  const linked = keepLink({
    ...enrollment,
    runnerPlane: options.runnerPlane,
    leaving: departure.leaving,
    token: options.token,
    log,
    overlay,
    hello: () => ({
      instanceId,
      protocolVersion,
      version: options.version,
      lastSessionNumber: store.loadSessionNumber(),
      machine: toMachineProto(machine),
      capacity: { ...options.capacity },
      executors: [...executors.keys()],
      foundCapabilities: machine.found.map(({ name }) => name),
      isolation,
      unsafeSharedUser: options.isUnsafeSharedUser,
      tunnels: opensTunnels,
    }),
    workloads,
    logs,
    tunnels,
    hostedService: new HostedService({ overlay, tunnels, signal: departure.abandoned, log }),
    gate,
    onContact: (sentAtMs, terms) => watch.contact(sentAtMs, terms),
    onDrain: () => void departure.drain(),
    onWelcome: (terms) => {
      wasWelcome = true;
      isShared = terms.isCluster;
      refuseUnsafeTerms(terms, isolation, options);
    },
  });
  const done = closeAfter(linked, close);
  return { done, stop: (timeoutMs) => void departure.stop(timeoutMs), abandon: () => departure.abandon() };
}

/** By what the control plane is known: the kept identity's root, or what the service token pins. */
function rootPinKnown({ token }: RunnerOptions, store: IdentityStore): Uint8Array {
  const identity = store.load()?.identity;
  const pin = identity === undefined ? token?.rootPin : rootPinOf(identity);
  if (pin === undefined) throw new FatalError("usage", "a service token is needed (--token-file)");
  return pin;
}

function jobsBelow(directory: string): string {
  return join(directory, "jobs");
}

async function closeAfter(work: Promise<void>, close: (error?: unknown) => Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    await close(error);
    throw error;
  }
  await close();
}

function createExecutors(deps: {
  options: RunnerOptions;
  directory: string;
  isolation: Isolation;
  runnerId: string;
  gate: TransportGate;
}): ReadonlyMap<string, Executor> {
  const { options, directory, isolation, runnerId, gate } = deps;
  const executors = new Map<string, Executor>();
  if (options.executors.includes("process")) {
    const hiddenPaths = ["identity", "executions", "spools"].map((name) => join(directory, name));
    // What is to be hidden from jobs must be there, also before anything was written to it.
    for (const path of hiddenPaths) mkdirSync(path, { recursive: true, mode: 0o700 });
    const executor = createProcessExecutor({
      runnerId,
      directory: join(directory, "executions"),
      jobsDirectory: jobsBelow(directory),
      isolation,
      hiddenPaths,
      hiddenWhereThere: options.hiddenPaths ?? [],
      readContent: (of, content, signal) => readContent(gate, of, content, signal),
      sealingKey: openSealingKey(join(directory, "identity")),
    });
    executors.set(executor.name, executor);
  }
  if (options.executors.includes("simulated")) executors.set("simulated", createSimulatedExecutor());
  return executors;
}

function refuseUnsafeTerms(
  terms: SessionTerms,
  isolation: Isolation,
  { isUnsafeSharedUser, executors }: RunnerOptions,
): void {
  const isIsolated = isolation !== "none" || !executors.includes("process");
  if (!terms.isCluster || isIsolated || isUnsafeSharedUser) return;
  throw new FatalError(
    "refused",
    "this runner serves the whole cluster but cannot keep workloads from each other here: run it as root, or accept that with --unsafe-shared-user",
  );
}

function toMachineProto(machine: Machine): MachineProto {
  const printable = (text: string, length: number): string =>
    cutText(text.replace(/[^ -~]/g, "?"), length).slice(0, length);
  return create(MachineSchema, {
    os: printable(machine.os, 64),
    architecture: printable(machine.arch, 64),
    host: printable(machine.hostname, 255),
    bootId: machine.bootId,
    cpus: machine.cpus,
    memoryBytes: BigInt(machine.memoryBytes),
    versions: {
      kernel: printable(machine.kernel, 128),
      ...Object.fromEntries(machine.found.map(({ name, version }) => [name, printable(version, 128)] as const)),
    },
  });
}
