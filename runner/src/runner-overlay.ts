import type { Duplex } from "node:stream";
import { createMtlsOverlay } from "../../overlay/mtls.ts";
import { OverlayError } from "../../overlay/errors.ts";
import { createOpenZitiOverlay, type OpenZitiOverlay } from "../../overlay/openziti/openziti.ts";
import type { ProxySettings } from "../../overlay/proxy.ts";
import { createSidecarOverlay } from "../../overlay/sidecar.ts";
import { parseAddress } from "./endpoints.ts";
import type { NetworkEndpoint, RunnerEndpoint, StoredIdentity } from "./identity-store.ts";

/** How this runner dials, whatever the kind of endpoint. */
export interface RunnerOverlay {
  /** Rejects with an `OverlayError`. */
  dial(endpoint: RunnerEndpoint, options: { readonly signal: AbortSignal }): Promise<Duplex>;
  /** Hosts a service in the network of an endpoint, until the overlay is closed. Rejects with an `OverlayError` where it cannot yet. */
  host(endpoint: NetworkEndpoint, service: string, onConnection: (connection: Duplex) => void): Promise<void>;
  close(): Promise<void>;
}

export type RunnerOverlayOptions = {
  /** Without: everything is reached directly. */
  proxy?: ProxySettings;
  /** The identity that counts now: its certificate is what a network knows this runner by. */
  identity: () => Pick<StoredIdentity, "keyPem" | "chainPem"> | undefined;
  version: string;
};

/** One overlay for each kind, and one for each network, made when first needed. */
export function createRunnerOverlay({ proxy, identity, version }: RunnerOverlayOptions): RunnerOverlay {
  const tcp = createMtlsOverlay(proxy && { proxy });
  const sidecar = createSidecarOverlay();
  const networks = new Map<string, OpenZitiOverlay>();

  const networkOf = (controller: string, caPem: string): OpenZitiOverlay => {
    const key = `${controller} ${caPem}`;
    const known = networks.get(key);
    if (known !== undefined) return known;
    const credential = () => {
      const current = identity();
      if (current === undefined) throw new OverlayError("unauthorized", "this runner has no identity to log in with");
      return { keyPem: current.keyPem, certPem: current.chainPem, caPem };
    };
    const network = createOpenZitiOverlay({
      controller,
      credential,
      settings: { label: { name: "agyn-runner", version } },
    });
    networks.set(key, network);
    return network;
  };

  return {
    dial(endpoint, options) {
      switch (endpoint.kind) {
        case "mtls":
          return tcp.dial(parseAddress(endpoint.address), options);
        case "sidecar":
          return sidecar.dial(endpoint.address, options);
        case "openziti":
          return networkOf(endpoint.controllerUrl, endpoint.controllerCaPem).dial(
            { service: endpoint.service },
            options,
          );
      }
    },
    async host({ controllerUrl, controllerCaPem }, service, onConnection) {
      await networkOf(controllerUrl, controllerCaPem).listen(service, onConnection);
    },
    async close() {
      await Promise.all([tcp, sidecar, ...networks.values()].map((overlay) => overlay.close()));
    },
  };
}
