import { randomBytes } from "node:crypto";
import { OverlayError } from "../errors.ts";
import type { Channel } from "./channel.ts";
import { EdgeConnection } from "./connection.ts";
import { readText, readU32, u32, type Message } from "./message.ts";
import { connType, headerId, messageType } from "./protocol.ts";
import { readRefusal } from "./refusal.ts";
import type { ServiceSession } from "./service-sessions.ts";
import type { Sodium } from "./sodium.ts";

/** What is dialed, and as whom. */
export interface DialRequest {
  readonly service: ServiceSession;
  /** Which of the service's hosts; any where it is not given. */
  readonly identity: string | undefined;
  readonly caller: string;
  readonly sodium: Sodium;
  readonly maxReceive_bytes: number;
}

/** Opens a connection to a service through one router. Rejects with an `OverlayError`, or with the reason of `signal`. */
export async function dialThrough(
  channel: Channel,
  request: DialRequest,
  signal: AbortSignal,
): Promise<EdgeConnection> {
  signal.throwIfAborted();
  const { service, sodium, maxReceive_bytes } = request;
  const { promise, resolve, reject } = Promise.withResolvers<EdgeConnection>();
  const pair = service.encrypted ? sodium.createKeyPair() : undefined;
  const id = channel.newId();
  let open = false;

  // Data may follow the answer at once, so that the connection must take the place of this receiver right there.
  channel.attach(id, {
    connType: connType.dial,
    receive(message) {
      if (message.type === messageType.stateClosed) return fail(refusalOf(message, service.name));
      if (message.type !== messageType.stateConnected) return;
      const peerKey = message.headers.get(headerId.publicKey);
      const keys = pair && peerKey && sodium.clientKeys(pair, peerKey);
      if (pair !== undefined && keys === undefined) return fail(noKey(service.name));
      const connection = new EdgeConnection({ channel, id, connType: connType.dial, sodium, keys, maxReceive_bytes });
      open = true;
      channel.attach(id, connection);
      resolve(connection);
    },
    lost: reject,
  });

  const headers = new Map<number, Uint8Array>([
    [headerId.connId, u32(id)],
    [headerId.sequence, u32(0)],
    [headerId.connectionMarker, Buffer.from(randomBytes(8).toString("base64url"))],
    [headerId.callerId, Buffer.from(request.caller)],
  ]);
  if (pair !== undefined) headers.set(headerId.publicKey, pair.publicKey);
  if (request.identity !== undefined) headers.set(headerId.terminatorIdentity, Buffer.from(request.identity));
  channel.send(messageType.connect, headers, Buffer.from(service.token));

  const onAbort = () => reject(signal.reason as Error);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await promise;
  } finally {
    signal.removeEventListener("abort", onAbort);
    if (!open) channel.detach(id);
  }

  function fail(error: OverlayError): void {
    channel.detach(id);
    reject(error);
  }
}

function refusalOf({ headers, body }: Message, service: string): OverlayError {
  return readRefusal({
    words: readText(body),
    code: readU32(headers, headerId.errorCode),
    otherwise: "unreachable",
    what: `service ${service} cannot be reached`,
  });
}

function noKey(service: string): OverlayError {
  return new OverlayError(
    "broken",
    `service ${service} is encrypted, but its host gave no good key: encryption is missing`,
  );
}
