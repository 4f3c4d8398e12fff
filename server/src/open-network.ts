import type { Duplex } from "node:stream";
import { setTimeout as pause } from "node:timers/promises";
import type { Logger } from "pino";
import type { Caller } from "../../overlay/overlay.ts";
import { openManagement } from "../../overlay/openziti/management.ts";
import { createOpenZitiOverlay } from "../../overlay/openziti/openziti.ts";
import { controlPlaneUri, runnerUri } from "../../wire/spiffe.ts";
import type { Config } from "./config.ts";
import { bootstrapRole, runnerIdentityName, serviceNames, type NetworkFacts } from "./domain/overlay-plan.ts";
import { createNetworkCredentialStore } from "./identity/network-credential.ts";
import { createNetworkRepair } from "./loops/repair-network.ts";
import { createControlPlaneCredential } from "./network/control-plane-credential.ts";
import { enrollIdentity } from "./network/enroll-identity.ts";
import { findDial, inspectNetwork } from "./network/inspect.ts";
import { createOwnEnrollment } from "./network/own-enrollment.ts";
import { repairNetwork } from "./network/repair.ts";
import type { openPlacing } from "./open-placing.ts";
import type { OnClose, State } from "./open-state.ts";
import { listNetworkRunners, scopeOf } from "./store/runners.ts";
import { version } from "./version.ts";

export type NetworkOptions = {
  config: Config;
  log: Logger;
  state: State;
  placing: Awaited<ReturnType<typeof openPlacing>>;
  onClose: OnClose;
};

/** The first back-off of hosting that does not succeed; doubled up to the most. */
const firstRetry_ms = 500;
const mostRetry_ms = 30_000;

/** A service, and who takes its connections. */
export type HostedService = { service: string; accept: (connection: Duplex, from: Caller) => void };

/** What runners are told of a network. */
export type NetworkEndpoint = {
  kind: {
    case: "openziti";
    value: {
      controllerUrl: string;
      otherControllerUrls: string[];
      controllerCaPem: string;
      service: string;
      networkCertificate: boolean;
    };
  };
};

/** The OpenZiti network by which runners reach this control plane, where the settings name one. */
export function openNetwork({ config, log, state, placing, onClose }: NetworkOptions) {
  const place = config.network;
  if (place === undefined) return undefined;
  const { sql, masterKey, authority } = state;
  const { trustDomain } = authority;
  const { controllerUrl, otherControllerUrls, caPem, identityEnrollment, routerRoles, servicePrefix } = place;
  const services = serviceNames(servicePrefix);
  const controllers = [controllerUrl, ...otherControllerUrls];
  const management = openManagement(controllers, caPem, place.administrator);
  onClose(async () => management.close());

  const facts = async (): Promise<NetworkFacts> => ({
    trustDomain,
    identityEnrollment,
    controlPlaneUri: controlPlaneUri(trustDomain),
    runnersIssuerPem: authority.runnersIssuerPem,
    controlPlaneIssuerPem: authority.controlPlaneIssuerPem,
    routerRoles,
    servicePrefix,
    runners: (await listNetworkRunners(sql)).map((row) => ({
      runnerId: row.id,
      uri: runnerUri(trustDomain, { scope: scopeOf(row), runnerId: row.id }),
      isBarred: row.isBarred,
    })),
  });
  const enrolling = { management, controllerUrl, caPem, trustDomain };
  const issued =
    identityEnrollment === "ott"
      ? createOwnEnrollment({ ...enrolling, store: createNetworkCredentialStore(sql, masterKey) })
      : undefined;
  const repair = createNetworkRepair({
    facts,
    async repair(known, signal) {
      // What one record lacks keeps nobody from logging in.
      try {
        await repairNetwork({ management, proveAuthority: authority.proveAuthority }, known, signal);
      } finally {
        await issued?.keep(signal);
      }
    },
    leads: () => placing.placer.leads,
    period_ms: place.repairPeriod_ms,
    signal: () => repairing.signal(),
    log,
  });
  const repairing = placing.runLoop("repair-network", config.loopPeriod_ms, () => repair.run());
  onClose(async () => repair.stop());
  placing.onRunnerChange(repair.changed);
  placing.notifications.on("runners", repair.changed);

  const overlay = createOpenZitiOverlay({
    controller: controllers,
    credential: issued?.credential ?? createControlPlaneCredential(authority, caPem),
    settings: { label: { name: "agyn-server", version } },
  });
  onClose(() => overlay.close());

  /** Hosts services, one after the other, as soon as the network lets us, and from then on; a network that is away is waited for. */
  async function host(hosted: readonly HostedService[]): Promise<void> {
    const closing = new AbortController();
    const listeners: { close(): Promise<void> }[] = [];
    // Nobody new, while those who are there say their last words.
    onClose(async () => {
      closing.abort();
      await Promise.all(listeners.map((listener) => listener.close()));
    });
    for (const { service, accept } of hosted) {
      const listener = await listen(service, accept, closing.signal);
      if (listener === undefined) return;
      if (closing.signal.aborted) return listener.close();
      listeners.push(listener);
      log.info({ service }, "a service is hosted in the OpenZiti network");
    }
  }

  async function listen(service: string, accept: HostedService["accept"], signal: AbortSignal) {
    for (let delay_ms = firstRetry_ms; !signal.aborted; delay_ms = Math.min(delay_ms * 2, mostRetry_ms)) {
      try {
        return await overlay.listen(service, accept);
      } catch (error) {
        if (signal.aborted) break;
        log.warn({ err: error, service, retry_ms: delay_ms }, "a service cannot be hosted in the OpenZiti network yet");
        await pause(delay_ms, undefined, { signal, ref: false }).catch(() => undefined);
      }
    }
    return undefined;
  }

  return {
    controllerUrl,
    bootstrapRole: bootstrapRole(trustDomain),
    repairState: repair.state,
    inspect: async (signal: AbortSignal) => inspectNetwork(management, await facts(), signal),
    findDial: async (runnerId: string, signal: AbortSignal) => {
      const all = await facts();
      const runners = all.runners.filter((runner) => runner.runnerId === runnerId);
      const found = await findDial(management, { ...all, runners }, signal);
      return { ...found, isBarred: runners[0]?.isBarred ?? true };
    },
    /** Gets a runner a certificate of the network, where it issues them. Rejects while the network is away. */
    enrollInNetwork:
      issued &&
      (({ id, csrPem }: { id: string; csrPem: string }, signal: AbortSignal) =>
        enrollIdentity(enrolling, { name: runnerIdentityName(trustDomain, id), csrPem }, signal)),
    /** What runners are told. */
    endpoint: {
      kind: {
        case: "openziti",
        value: {
          controllerUrl,
          otherControllerUrls: [...otherControllerUrls],
          controllerCaPem: caPem,
          service: services.controlPlane,
          networkCertificate: issued !== undefined,
        },
      },
    } satisfies NetworkEndpoint,
    /** What our services are called there. */
    services,
    host,
    /** Dials what a runner hosts. Rejects with an `OverlayError`. */
    dial: (runnerId: string, signal: AbortSignal) => overlay.dial({ service: services.ofRunner(runnerId) }, { signal }),
  };
}
