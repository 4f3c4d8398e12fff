import type { Transport } from "@connectrpc/connect";
import { Changes } from "./changes.ts";

/** The connection of the session that stands, for calls that do not belong to one session: they wait for the next. */
export class TransportGate {
  readonly #changes = new Changes();
  #transport: Transport | undefined;

  /** Lets calls through until `signal` aborts. */
  async open(transport: Transport, signal: AbortSignal): Promise<void> {
    this.#transport = transport;
    this.#changes.announce();
    await this.#changes.until(() => false, signal);
    if (this.#transport === transport) this.#transport = undefined;
  }

  /** The transport, once there is one; throws the signal's reason where it aborts before. */
  async get(signal: AbortSignal): Promise<Transport> {
    await this.#changes.until(() => this.#transport !== undefined, signal);
    signal.throwIfAborted();
    return this.#transport!;
  }
}
