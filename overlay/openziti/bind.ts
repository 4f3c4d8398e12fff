import { randomBytes } from "node:crypto";
import type { Duplex } from "node:stream";
import { OverlayError } from "../errors.ts";
import type { Caller } from "../overlay.ts";
import type { Channel, Receiver } from "./channel.ts";
import { EdgeConnection } from "./connection.ts";
import { readText, readU32, u16, u32, yes, type Message } from "./message.ts";
import { connType, headerId, messageType } from "./protocol.ts";
import { readRefusal } from "./refusal.ts";
import type { ServiceSession } from "./service-sessions.ts";
import type { KeyPair, Sodium } from "./sodium.ts";

/** How a service is hosted beside others who host it. */
export interface HostingOptions {
  /** The service's name in the network, where it is called otherwise here. */
  readonly service?: string;
  /** Lets dialers choose this host among a service's. */
  readonly identity?: string;
  /** Routers prefer what costs less: 0 to 65,535. */
  readonly cost?: number;
  /** Which hosts are asked first: 0 as usual, 1 always where there is one, 2 only where there is no other. */
  readonly precedence?: 0 | 1 | 2;
}

/** What is bound. */
export interface BindRequest {
  readonly service: ServiceSession;
  readonly hosting: HostingOptions;
  readonly listenerId: Uint8Array;
  readonly sodium: Sodium;
  readonly maxReceive_bytes: number;
  /** Whether there is room for one more connection. */
  readonly hasRoom: () => boolean;
  readonly onConnection: (connection: Duplex, from: Caller) => void;
}

/** A service hosted through one router. */
export interface Binding {
  readonly channel: Channel;
  /** Settles with why, when the router hosts it no more. Never rejects. */
  readonly lost: Promise<OverlayError>;
  /** Accepts no more; open connections stay. */
  close(): void;
}

/** Routers of all versions that answer a bind twice do it within this time. */
const bindSuccessGrace_ms = 5000;
const listenerId_bytes = 32;

/** A name for one listener, the same through all routers. */
export function createListenerId(): Uint8Array {
  return randomBytes(listenerId_bytes);
}

/** Hosts a service through one router. Rejects with an `OverlayError`, or with the reason of `signal`. */
export async function bindThrough(channel: Channel, request: BindRequest, signal: AbortSignal): Promise<Binding> {
  signal.throwIfAborted();
  const { service, sodium } = request;
  const pair = service.encrypted ? sodium.createKeyPair() : undefined;
  const id = channel.newId();
  const bound = Promise.withResolvers<void>();
  const lost = Promise.withResolvers<OverlayError>();
  let grace: NodeJS.Timeout | undefined;

  const receiver: Receiver = {
    connType: connType.bind,
    receive(message) {
      if (message.type === messageType.dial) return accept(channel, request, { id, pair }, message);
      if (message.type === messageType.bindSuccess) bound.resolve();
      if (message.type === messageType.stateConnected) grace ??= setTimeout(bound.resolve, bindSuccessGrace_ms).unref();
      if (message.type === messageType.stateClosed) lose(refusalOf(message, service.name));
    },
    lost: lose,
  };
  channel.attach(id, receiver);
  channel.send(messageType.bind, bindHeaders(id, request, pair), Buffer.from(service.token));

  const onAbort = () => bound.reject(signal.reason as Error);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    await bound.promise;
  } catch (error) {
    close();
    throw error;
  } finally {
    clearTimeout(grace);
    signal.removeEventListener("abort", onAbort);
  }
  return { channel, lost: lost.promise, close };

  function lose(error: OverlayError): void {
    channel.detach(id);
    bound.reject(error);
    lost.resolve(error);
  }

  function close(): void {
    if (channel.has(id)) channel.send(messageType.unbind, connectionHeaders(id), Buffer.from(service.token));
    channel.detach(id);
    lost.resolve(new OverlayError("cancelled", `service ${service.name} is hosted no more`));
  }
}

function connectionHeaders(id: number): Map<number, Uint8Array> {
  return new Map([
    [headerId.connId, u32(id)],
    [headerId.sequence, u32(0)],
  ]);
}

function bindHeaders(id: number, { hosting, listenerId }: BindRequest, pair: KeyPair | undefined) {
  const headers = connectionHeaders(id)
    .set(headerId.listenerId, listenerId)
    .set(headerId.supportsInspect, yes)
    .set(headerId.supportsBindSuccess, yes)
    .set(headerId.routerProvidedConnId, yes);
  if (pair !== undefined) headers.set(headerId.publicKey, pair.publicKey);
  if (hosting.identity !== undefined) headers.set(headerId.terminatorIdentity, Buffer.from(hosting.identity));
  if (hosting.cost !== undefined) headers.set(headerId.cost, u16(hosting.cost));
  if (hosting.precedence !== undefined) headers.set(headerId.precedence, Buffer.from([hosting.precedence]));
  return headers;
}

/** Answers a dial: with a connection, or with why not. */
function accept(
  channel: Channel,
  { sodium, maxReceive_bytes, hasRoom, onConnection }: BindRequest,
  bind: { readonly id: number; readonly pair: KeyPair | undefined },
  { sequence, headers }: Message,
): void {
  const answer = connectionHeaders(bind.id).set(headerId.replyFor, u32(sequence));
  const refuse = (why: string) => void channel.send(messageType.dialFailed, answer, Buffer.from(why));
  const id = readU32(headers, headerId.routerProvidedConnId);
  if (id === undefined || channel.has(id)) return refuse("the dial has no id of its own");
  if (!hasRoom()) return refuse("there is no room for another connection");
  const peerKey = headers.get(headerId.publicKey);
  const keys = bind.pair && peerKey && sodium.serverKeys(bind.pair, peerKey);
  if (bind.pair !== undefined && keys === undefined)
    return refuse("the dialer gave no good key: encryption is missing");

  const connection = new EdgeConnection({ channel, id, connType: connType.dial, sodium, keys, maxReceive_bytes });
  channel.attach(id, connection);
  channel.send(messageType.dialSuccess, answer, u32(id));
  const name = headers.get(headerId.dialerIdentityName) ?? headers.get(headerId.callerId);
  onConnection(connection, { address: readText(name) || "unknown" });
}

function refusalOf({ headers, body }: Message, service: string): OverlayError {
  return readRefusal({
    words: readText(body),
    code: readU32(headers, headerId.errorCode),
    otherwise: "broken",
    what: `service ${service} is not hosted`,
  });
}
