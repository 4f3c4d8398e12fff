/**
 * The service by which this runner is dialed for tunnels, hosted in an OpenZiti network. Who dials it says a tunnel's id; from then on it is
 * a connection like those that this runner dials: it begins the TLS handshake, goes no further with anybody but the control plane, and
 * shows its certificate to nobody else (I5). What the network says of a caller counts for nothing.
 */
import { once } from "node:events";
import type { Duplex } from "node:stream";
import { isDeepStrictEqual } from "node:util";
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

/** What is hosted where. */
type Place = { endpoint: NetworkEndpoint; service: string };

/** And as whom. */
export type Hosting = Place & { identity: StoredIdentity };

export class HostedService {
  readonly #deps: HostedServiceDeps;
  #hosted: { place: Place; over: AbortController } | undefined;
  #identity: StoredIdentity | undefined;
  /** Connections whose other end has not shown who it is. */
  #arriving = 0;

  constructor(deps: HostedServiceDeps) {
    this.#deps = deps;
  }

  /** Hosts the service from now on, where it does not yet, and no other any more, and shows this identity there. */
  host({ identity, ...place }: Hosting): void {
    this.#identity = identity;
    if (isDeepStrictEqual(this.#hosted?.place, place)) return;
    this.#hosted?.over.abort();
    const over = new AbortController();
    this.#hosted = { place, over };
    void this.#keepTrying(place, AbortSignal.any([this.#deps.signal, over.signal]));
  }

  /** The overlay looks after what it once hosted. */
  async #keepTrying({ endpoint, service }: Place, over: AbortSignal): Promise<void> {
    const { overlay, log } = this.#deps;
    for (let failures = 1; !over.aborted; failures += 1) {
      try {
        const listener = await overlay.host(endpoint, service, (connection) => void this.#take(connection));
        log.info({ service }, "service hosted");
        if (over.aborted) return await listener.close();
        return over.addEventListener("abort", () => void listener.close(), { once: true });
      } catch (error) {
        const waitMs = backoffMs(failures, Math.random());
        log.info({ service, error: messageOf(error), retry_ms: waitMs }, "service could not be hosted yet");
        await pause(waitMs, over);
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
