/**
 * The service by which this runner is dialed for tunnels, hosted in an OpenZiti network. Who dials it says a tunnel's id; from then on it is
 * a connection like those that this runner dials: it begins the TLS handshake, goes no further with anybody but the control plane, and
 * shows its certificate to nobody else (I5). What the network says of a caller counts for nothing.
 */
import { once } from "node:events";
import type { Duplex } from "node:stream";
import type { Logger } from "pino";
import { isId } from "../../wire/ids.ts";
import { tunnelId_bytes } from "../../wire/tunnel-bounds.ts";
import { backoffMs, pause } from "./backoff.ts";
import { openOver, type Connection } from "./connection.ts";
import type { NetworkEndpoint, StoredIdentity } from "./identity-store.ts";
import { messageOf } from "./refusal.ts";
import type { RunnerOverlay } from "./runner-overlay.ts";
import { maximumTunnels, type Tunnels } from "./tunnels.ts";

/** From an accepted connection to the control plane that has shown who it is. */
const arrivalTimeoutMs = 10_000;

export type HostedServiceDeps = {
  overlay: RunnerOverlay;
  tunnels: Tunnels;
  signal: AbortSignal;
  log: Logger;
};

/** What is hosted where, and as whom. */
export type Hosting = { endpoint: NetworkEndpoint; service: string; identity: StoredIdentity };

export class HostedService {
  readonly #deps: HostedServiceDeps;
  /** As "network service"; until the overlay is closed. */
  readonly #hosted = new Set<string>();
  #identity: StoredIdentity | undefined;
  /** Connections whose other end has not shown who it is. */
  #arriving = 0;

  constructor(deps: HostedServiceDeps) {
    this.#deps = deps;
  }

  /** Hosts the service from now on, where it does not yet, and shows this identity there. */
  host({ endpoint, service, identity }: Hosting): void {
    this.#identity = identity;
    const name = `${endpoint.controllerUrl} ${service}`;
    if (this.#hosted.has(name)) return;
    this.#hosted.add(name);
    void this.#keepTrying(endpoint, service);
  }

  /** The overlay looks after what it once hosted. */
  async #keepTrying(endpoint: NetworkEndpoint, service: string): Promise<void> {
    const { overlay, signal, log } = this.#deps;
    for (let failures = 1; !signal.aborted; failures += 1) {
      try {
        await overlay.host(endpoint, service, (connection) => void this.#take(connection));
        log.info({ service }, "service hosted");
        return;
      } catch (error) {
        const waitMs = backoffMs(failures, Math.random());
        log.info({ service, error: messageOf(error), retry_ms: waitMs }, "service could not be hosted yet");
        await pause(waitMs, signal);
      }
    }
  }

  /** Never rejects. */
  async #take(dialed: Duplex): Promise<void> {
    dialed.on("error", () => undefined);
    if (this.#arriving >= maximumTunnels || this.#identity === undefined) return void dialed.destroy();
    this.#arriving += 1;
    const signal = AbortSignal.any([this.#deps.signal, AbortSignal.timeout(arrivalTimeoutMs)]);
    let tunnelId: string;
    let connection: Connection;
    try {
      tunnelId = await readTunnelId(dialed, signal);
      connection = await openOver(async () => dialed, { identity: this.#identity, signal });
    } catch (error) {
      dialed.destroy();
      this.#deps.log.warn({ error: messageOf(error) }, "who dialed this runner's service was not let in");
      return;
    } finally {
      this.#arriving -= 1;
    }
    await this.#deps.tunnels.open(tunnelId, async () => connection);
  }
}

async function readTunnelId(dialed: Duplex, signal: AbortSignal): Promise<string> {
  for (;;) {
    const bytes = dialed.read(tunnelId_bytes) as Buffer | null;
    if (bytes !== null) {
      const text = bytes.toString("latin1");
      if (isId("tunnel", text)) return text;
      throw new Error("it did not say a tunnel's id");
    }
    await once(dialed, "readable", { signal });
  }
}
