import { callerOfJwt } from "../controller/api-sessions.ts";
import { closeCircuit, forward } from "./circuits.ts";
import { connect } from "./dialing.ts";
import { FrameError, type Frame, type Header } from "./frames.ts";
import { bind, removeListener, unbind, updateBind } from "./hosting.ts";
import { checkFrame, header, numberIn, success, type } from "./messages.ts";
import type { Client, Routing } from "./state.ts";

/** Does what a frame of a client asks for. Throws a `FrameError` on what no client may send. */
export function handle(routing: Routing, client: Client, frame: Frame): void {
  checkFrame(frame);
  switch (frame.type) {
    case type.data:
      return passOn(client, frame);
    case type.connect:
      return connect(routing, client, frame);
    case type.bind:
      return bind(routing, client, frame);
    case type.unbind:
      return unbind(routing, client, frame);
    case type.updateBind:
      return updateBind(routing, client, frame);
    case type.stateClosed:
      return closedBy(routing, client, frame);
    case type.updateToken:
      return updateToken(routing, client, frame);
    case type.latency:
    case type.ping:
      return echo(client, frame);
    case type.result:
    case type.inspectAnswer:
    case type.dialSuccess:
    case type.dialFailed:
      if (!client.channel.settle(frame, numberIn(frame, header.replyFor))) throw new FrameError("an answer to nothing");
      return undefined;
    default:
      throw new FrameError(`content type ${frame.type} comes at the wrong time`);
  }
}

/** Takes down all that a client had, once its connection is gone. */
export function leave(routing: Routing, client: Client): void {
  routing.clients.delete(client);
  for (const listener of client.listeners.values()) removeListener(routing, listener);
  for (const end of client.ends.values()) closeCircuit(routing, end.circuit, "session closed", end);
}

/** Data of a connection that has ended meanwhile is passed over: its sender may not know yet. */
function passOn(client: Client, frame: Frame): void {
  const connId = numberIn(frame, header.connId);
  const end = client.ends.get(connId);
  if (end !== undefined) return forward(end, frame);
  if (!client.usedConnIds.has(connId)) throw new FrameError(`Data on the unknown connection ${connId}`);
  return undefined;
}

function closedBy(routing: Routing, client: Client, frame: Frame): void {
  const connId = numberIn(frame, header.connId);
  const words = frame.body.toString();
  const end = client.ends.get(connId);
  if (end !== undefined) return closeCircuit(routing, end.circuit, words === "" ? "close called" : words, end);
  const listener = client.listeners.get(connId);
  if (listener !== undefined) return removeListener(routing, listener);
  if (!client.usedConnIds.has(connId)) throw new FrameError(`StateClosed of the unknown connection ${connId}`);
  return undefined;
}

function updateToken({ controller }: Routing, client: Client, frame: Frame): void {
  const { channel, caller } = client;
  const updated = callerOfJwt(controller, frame.body.toString(), "a");
  if (updated === undefined || updated.session.id !== caller?.session.id) {
    return channel.reply(frame, type.tokenRefused, [], "the token is not of this connection's API session");
  }
  client.caller = updated;
  return channel.reply(frame, type.tokenUpdated, []);
}

function echo({ channel }: Client, frame: Frame): void {
  const reflected = frame.headers.get(header.reflected);
  const mark: Header[] = reflected === undefined ? [] : [[header.reflected, reflected]];
  channel.reply(frame, type.result, [success(true), ...mark]);
}
