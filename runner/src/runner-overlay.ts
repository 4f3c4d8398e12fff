import type { Duplex } from "node:stream";
import { createMtlsOverlay } from "../../overlay/mtls.ts";
import { OverlayError } from "../../overlay/errors.ts";
import { createOpenZitiNativeOverlay } from "../../overlay/openziti-native.ts";
import type { OpenZitiSdk } from "../../overlay/openziti-sdk.ts";
import { createOpenZitiOverlay, type OpenZitiEndpoint, type OpenZitiOverlay } from "../../overlay/openziti/openziti.ts";
import type { Dialer, Listener } from "../../overlay/overlay.ts";
import type { ProxySettings } from "../../overlay/proxy.ts";
import { createSidecarOverlay } from "../../overlay/sidecar.ts";
import { parseAddress } from "./endpoints.ts";
import type { NetworkEndpoint, RunnerEndpoint, StoredIdentity } from "./identity-store.ts";
import type { NetworkCredentials } from "./network-credentials.ts";

/** How this runner dials, whatever the kind of endpoint. */
export interface RunnerOverlay {
  /** Rejects with an `OverlayError`. */
  dial(endpoint: RunnerEndpoint, options: { readonly signal: AbortSignal }): Promise<Duplex>;
  /** Hosts a service in the network of an endpoint, until that or the overlay is closed. Rejects with an `OverlayError` where it cannot yet. */
  host(
    endpoint: NetworkEndpoint,
    service: string,
    onConnection: (connection: Duplex) => void,
  ): Promise<Listener<OpenZitiEndpoint>>;
  close(): Promise<void>;
}

export type RunnerOverlayOptions = {
  /** Without: everything is reached directly. */
  proxy?: ProxySettings;
  /** The identity that counts now: its certificate is what a network knows this runner by. */
  identity: () => Pick<StoredIdentity, "keyPem" | "chainPem"> | undefined;
  /** What networks know this runner by that take no certificates but their own. */
  networkCredentials?: NetworkCredentials;
  version: string;
  /** Dials networks in the place of our own client, which still hosts. */
  openZitiSdk?: OpenZitiSdk | undefined;
};

/** What dials in a network, and what hosts there. */
type Network = { readonly dialer: Dialer<OpenZitiEndpoint>; readonly client: OpenZitiOverlay };

/** One overlay for each kind, and one for each network, made when first needed. */
export function createRunnerOverlay(options: RunnerOverlayOptions): RunnerOverlay {
  const { proxy, identity, networkCredentials, version, openZitiSdk } = options;
  const tcp = createMtlsOverlay(proxy && { proxy });
  const sidecar = createSidecarOverlay();
  const networks = new Map<string, Network>();

  const networkOf = (endpoint: NetworkEndpoint): Network => {
    const { controllerUrl, otherControllerUrls, controllerCaPem: caPem, networkCertificate } = endpoint;
    const controller = [controllerUrl, ...otherControllerUrls];
    const key = `${controller.join()} ${networkCertificate} ${caPem}`;
    const known = networks.get(key);
    if (known !== undefined) return known;
    const own = () => {
      const current = identity();
      if (current === undefined) throw new OverlayError("unauthorized", "this runner has no identity to log in with");
      return { keyPem: current.keyPem, certPem: current.chainPem, caPem };
    };
    const issued = async () => {
      if (networkCredentials === undefined)
        throw new OverlayError("unauthorized", "the network wants a certificate of its own, and there is none");
      const { keyPem, certPem } = await networkCredentials.current(controllerUrl);
      return { keyPem, certPem, caPem };
    };
    const credential = networkCertificate ? issued : own;
    const client = createOpenZitiOverlay({
      controller,
      credential,
      settings: { label: { name: "agyn-runner", version } },
    });
    const sdk = openZitiSdk && createOpenZitiNativeOverlay({ sdk: openZitiSdk, controller, credential });
    const network = { client, dialer: sdk ?? client };
    networks.set(key, network);
    return network;
  };

  const dialNetwork = async (endpoint: NetworkEndpoint, signal: AbortSignal): Promise<Duplex> => {
    try {
      return await networkOf(endpoint).dialer.dial({ service: endpoint.service }, { signal });
    } catch (error) {
      // The network may have been set up anew, or somebody else have enrolled in this runner's place.
      const isRefused = error instanceof OverlayError && error.reason === "unauthorized";
      if (isRefused && endpoint.networkCertificate) networkCredentials?.forget();
      throw error;
    }
  };

  return {
    dial(endpoint, { signal }) {
      switch (endpoint.kind) {
        case "mtls":
          return tcp.dial(parseAddress(endpoint.address), { signal });
        case "sidecar":
          return sidecar.dial(endpoint.address, { signal });
        case "openziti":
          return dialNetwork(endpoint, signal);
      }
    },
    async host(endpoint, service, onConnection) {
      return networkOf(endpoint).client.listen(service, onConnection);
    },
    async close() {
      const opened = [...networks.values()].flatMap(({ client, dialer }) => [client, dialer]);
      await Promise.all([tcp, sidecar, ...new Set(opened)].map((overlay) => overlay.close()));
    },
  };
}
