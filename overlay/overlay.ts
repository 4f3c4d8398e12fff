import type { Duplex } from "node:stream";

/**
 * How bytes get to the control plane: bytes only, in order, half-closable, with back-pressure. An adapter proves nothing
 * about who is at the other end; the secure layer above does. `Endpoint` is what the adapter dials.
 */
export interface Overlay<Endpoint> extends Dialer<Endpoint> {
  /** Accepts connections of a service, named in the adapter's options. Rejects with an `OverlayError`. */
  listen(service: string, onConnection: (connection: Duplex, from: Caller) => void): Promise<Listener<Endpoint>>;
}

/** The side of an overlay that asks for connections. */
export interface Dialer<Endpoint> {
  /** Opens a connection. Rejects with an `OverlayError`; `signal` gives up. */
  dial(endpoint: Endpoint, options?: { readonly signal?: AbortSignal }): Promise<Duplex>;
  /** Ends all listeners and what is being dialed. Open connections stay their holders'. */
  close(): Promise<void>;
}

/** A service that accepts connections. */
export interface Listener<Endpoint> {
  /** What dials it, with the port that was found where 0 was asked for. */
  readonly address: Endpoint;
  /** Accepts no more. Open connections stay their holders'. */
  close(): Promise<void>;
}

/** Where a connection came from, as the network says: for records, never for trust. */
export interface Caller {
  readonly address: string;
}
