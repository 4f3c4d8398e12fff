import type { Caller } from "../controller/api-sessions.ts";
import type { Channel } from "./channel.ts";
import type { ServiceSession, Terminator } from "../model.ts";
import type { ControllerState } from "../state.ts";
import type { Violations } from "../violations.ts";

/** A client that has come past its Hello. */
export interface Client {
  readonly channel: Channel;
  readonly routerId: string;
  /** Who it is, once its token has been looked up. */
  caller: Caller | undefined;
  /** Connections of data, by the id that they have on this channel. */
  readonly ends: Map<number, End>;
  readonly listeners: Map<number, Listener>;
  /** Ids of connections that were ever used: none may be used again. */
  readonly usedConnIds: Set<number>;
  nextRouterConnId: number;
}

/** One end of a circuit: a connection id on a client's channel. */
export interface End {
  readonly client: Client;
  readonly connId: number;
  readonly circuit: Circuit;
  /** What the next message of data from here must be numbered. */
  nextSequence: number;
  hasFinished: boolean;
  /** Whether the header of the encrypted stream has gone by. */
  hasBegun: boolean;
  /** Bytes from here that have not left towards the other end. */
  inFlight_bytes: number;
}

/** A connection through the fabric, from a caller to a host. */
export interface Circuit {
  readonly id: string;
  readonly session: ServiceSession;
  readonly isEncrypted: boolean;
  isClosed: boolean;
  dialer: End | undefined;
  host: End | undefined;
}

/** A service that a client hosts. */
export interface Listener {
  readonly client: Client;
  readonly connId: number;
  readonly session: ServiceSession;
  readonly listenerId: string;
  readonly publicKey: Buffer | undefined;
  readonly terminator: Terminator;
  /** Ends what waits for the listener's answers. */
  readonly stop: AbortController;
}

/** How long a router waits, in ms. */
export interface RouterTimes {
  /** How long a token that nobody knows keeps its connection. */
  readonly lookup_ms: number;
  /** How long a host may take to answer a dial. */
  readonly dialAnswer_ms: number;
  /** How often an inspection is repeated, and when an unanswered one costs the terminator. */
  readonly inspectAgain_ms: number;
  readonly inspectGrace_ms: number;
  /** How long it takes until what the controller was told reaches live connections. */
  readonly cut_ms: number;
  /** The same for revocations. */
  readonly revocation_ms: number;
}

/** What the routers of a fabric share. */
export interface Routing {
  readonly controller: ControllerState;
  readonly violations: Violations;
  readonly times: RouterTimes;
  readonly circuits: Set<Circuit>;
  /** By terminator. */
  readonly listeners: Map<string, Listener>;
  readonly clients: Set<Client>;
  /** How many dials were answered, by the service's name. */
  readonly dials: Map<string, number>;
}
