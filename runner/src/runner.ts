/** Puts a runner together and takes it apart again. */
import { realpathSync } from "node:fs";
import { join } from "node:path";
import { randomUUID } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import type { Logger } from "pino";
import { MachineSchema, type Machine as MachineProto } from "../../proto/gen/agyn/orchestrator/v1/placements_pb.ts";
import type { OpenZitiSdk } from "../../overlay/openziti-sdk.ts";
import type { GatewayTrust } from "../../wire/gateway-trust.ts";
import type { ServiceToken } from "../../wire/service-token.ts";
import type { Isolation } from "./executors/executor.ts";
import { detectIsolation, type HiddenPaths } from "./executors/isolation.ts";
import { leaveJobRoot } from "./executors/job-directory.ts";
import { createExecutors, type ExecutorName } from "./create-executors.ts";
import { openDataDirectory, type DataDirectory } from "./data-directory.ts";
import { createDeparture } from "./departure.ts";
import { FatalError } from "./fatal-error.ts";
import { openGateway, type Gateway } from "./gateway.ts";
import { HostedService } from "./hosted-service.ts";
import { rootPinOf } from "./identity-keys.ts";
import {
  createIdentityMemory,
  openIdentityDirectory,
  type IdentityStore,
  type RunnerEndpoint,
} from "./identity-store.ts";
import { keepLink } from "./link.ts";
import { watchLoss } from "./loss-watch.ts";
import { readMachine, type Machine } from "./machine.ts";
import { cutText } from "./messages.ts";
import { createNetworkCredentials } from "./network-credentials.ts";
import type { Proxies } from "./proxies.ts";
import { createRunnerOverlay } from "./runner-overlay.ts";
import type { SessionTerms } from "./session.ts";
import { takeUpWorkloads } from "./take-up-workloads.ts";
import { TransportGate } from "./transport-gate.ts";
import { Tunnels } from "./tunnels.ts";

/** Of the runner protocol. */
const protocolVersion = 1;

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
  /** What jobs may not look into beside the runner's own directory, where a namespace keeps them apart; users are kept out by modes. */
  hidden?: HiddenPaths;
  /** Accepts cluster scope without isolation. */
  isUnsafeSharedUser: boolean;
  /** Lets people into workloads while they run; yes, unless it is said. */
  opensTunnels?: boolean;
  /** With cluster scope, lets people of every organization reach what listens on this machine's loopback address. */
  isUnsafeSharedForward?: boolean;
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
  // What is hidden from jobs is told by where it really is.
  const directory = realpathSync(home.path);
  const store = options.isEphemeral ? createIdentityMemory() : openIdentityDirectory(join(directory, "identity"));
  const runnerId = options.token?.runnerId ?? store.load()?.runnerId;
  if (runnerId === undefined) {
    throw new FatalError("usage", "this runner has no identity yet: a service token is needed (--token-file)");
  }

  const isolation = options.isolation ?? (options.executors.includes("process") ? await detectIsolation() : "none");
  const machine = options.machine ?? (await readMachine());
  const gate = new TransportGate();
  const gateway = openGateway({ ...options, proxies, rootPin: () => rootPinKnown(options, store) });
  const jobsDirectory = join(directory, "jobs");
  const contactFile = join(directory, "contact");
  const { executors: names, hidden } = options;
  const places = { directory, jobsDirectory, contactFile, hidden };
  const executors = createExecutors({ names, runnerId, ...places, isolation, gate });
  const { capacity } = options;
  const held = { directory, isDurable: !options.isEphemeral, executors, capacity, gate, log };
  const { holdings, logs, uploads, workloads } = await takeUpWorkloads(held);
  let isShared = false;
  const tunnels = new Tunnels({
    isShut: !opensTunnels,
    wayInto: (of) => workloads.wayInto(of),
    isShared: () => isShared,
    forwardsShared: options.isUnsafeSharedForward === true,
    log,
  });

  const watch = watchLoss({ workloads, holdings, bootId: machine.bootId, contactFile });
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
    leaveJobRoot(jobsDirectory);
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

async function closeAfter(work: Promise<void>, close: (error?: unknown) => Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    await close(error);
    throw error;
  }
  await close();
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
