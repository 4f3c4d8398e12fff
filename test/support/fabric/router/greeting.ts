import { callerOfToken, type Caller } from "../controller/api-sessions.ts";
import { isTrusted } from "../controller/logins.ts";
import { fingerprintOf } from "../pki.ts";
import { routerVersion } from "../version.ts";
import type { Channel } from "./channel.ts";
import { FrameError, type Frame, type Header } from "./frames.ts";
import { checkFrame, header, success, textIn, type } from "./messages.ts";
import type { Routing } from "./state.ts";

/** What a router refuses of those who come next, whatever they show. */
export interface Refusals {
  tokens: number;
  authorities: number;
}

/** Where a client comes in. */
export interface Door {
  readonly routing: Routing;
  readonly routerId: string;
  readonly refusals: Refusals;
}

/**
 * Answers a Hello, and looks the token up afterwards: that a Hello succeeded says nothing of it. Resolves with whose it
 * is; never, where it is nobody's: then the connection ends in silence. Throws a `FrameError` on what is no Hello.
 */
export function greet(door: Door, channel: Channel, frame: Frame): Promise<Caller> {
  checkFrame(frame);
  if (frame.type !== type.hello) throw new FrameError(`a connection begins with content type ${frame.type}, not Hello`);
  const { promise, resolve } = Promise.withResolvers<Caller>();
  if (isUnknown(door, channel)) {
    channel.reply(frame, type.result, [success(false)], "client certificate was not issued by a trusted CA");
    setImmediate(() => setImmediate(() => channel.close()));
    return promise;
  }
  channel.reply(frame, type.result, welcome(door, channel));
  setImmediate(() => {
    const caller = lookUp(door, channel, textIn(frame, header.sessionToken));
    if (caller !== undefined) resolve(caller);
  });
  return promise;
}

function welcome({ routing, routerId }: Door, channel: Channel): Header[] {
  const { version } = routing.controller;
  const posture: Header[] = version === "1.6.20" ? [] : [[header.posture, Buffer.from([1])]];
  return [
    success(true),
    [header.version, routerVersion(version)],
    [header.routerId, routerId],
    [header.connectionId, channel.id],
    ...posture,
  ];
}

function isUnknown({ routing, refusals }: Door, { peer, chain }: Channel): boolean {
  if (refusals.authorities === 0) return !isTrusted(routing.controller, peer, chain);
  refusals.authorities -= 1;
  return true;
}

/** Whose a token is. One that nobody knows costs the connection when the look-up gives up, a wrong one at once. */
function lookUp({ routing, refusals }: Door, channel: Channel, token: string): Caller | undefined {
  if (refusals.tokens > 0) {
    refusals.tokens -= 1;
    channel.close();
    return undefined;
  }
  const caller = callerOfToken(routing.controller, token);
  if (caller === undefined) {
    setTimeout(() => channel.close(), routing.times.lookup_ms).unref();
    return undefined;
  }
  if (caller.session.fingerprints.includes(fingerprintOf(channel.peer))) return caller;
  channel.close();
  return undefined;
}
