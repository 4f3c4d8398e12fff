import { claimConnId, permitOf } from "./dialing.ts";
import { FrameError, type Frame } from "./frames.ts";
import { header, isSet, listenerConnType, numberIn, textIn, type } from "./messages.ts";
import type { Terminator } from "../model.ts";
import type { Client, Listener, Routing } from "./state.ts";

const precedences = ["default", "required", "failed"] as const;

/** Sees to a Bind: makes a terminator, and keeps it while the host answers inspections. */
export function bind(routing: Routing, client: Client, frame: Frame): void {
  const connId = claimConnId(client, frame);
  const refuse = (words: string) => client.channel.reply(frame, type.stateClosed, [[header.connId, connId]], words);
  if (!isSet(frame, header.routerConnId)) throw new FrameError("Bind does not let the router choose connection ids");

  const permit = permitOf(routing, client, frame.body.toString(), "Bind");
  if (typeof permit === "string") return refuse(permit);
  const { service, session } = permit;
  const publicKey = frame.headers.get(header.publicKey);
  if (service.encryptionRequired && publicKey === undefined) {
    return refuse("encryption required on service, host did not send public header");
  }
  const listenerId = frame.headers.get(header.listenerId)?.toString("hex") ?? "";
  for (const other of routing.listeners.values()) {
    if (other.listenerId === listenerId && other.client === client) removeListener(routing, other, "replaced");
  }
  const terminator = routing.controller.model.terminators.insert({
    serviceId: service.id,
    routerId: client.routerId,
    hostId: session.identityId,
    identity: textIn(frame, header.terminatorIdentity),
    cost: frame.headers.get(header.cost)?.readUInt16LE(0) ?? 0,
    precedence: precedenceIn(frame) ?? "default",
  });
  const listener = { client, connId, session, listenerId, publicKey, terminator, stop: new AbortController() };
  routing.listeners.set(terminator.id, listener);
  client.listeners.set(connId, listener);
  client.channel.reply(frame, type.stateConnected, [[header.connId, connId]]);

  const wantsSuccess = isSet(frame, header.supportsBindSuccess);
  if (isSet(frame, header.supportsInspect)) inspect(routing, listener);
  if (wantsSuccess) client.channel.send(type.bindSuccess, [[header.connId, connId]]);
  return undefined;
}

/** Sees to an Unbind: the terminator goes, without a word. */
export function unbind(routing: Routing, client: Client, frame: Frame): void {
  const listener = listenerOf(client, frame);
  if (listener !== undefined) removeListener(routing, listener);
}

/** Sees to an UpdateBind: new cost or precedence. */
export function updateBind(routing: Routing, client: Client, frame: Frame): void {
  const listener = listenerOf(client, frame);
  if (listener === undefined) return;
  const { terminator } = listener;
  routing.controller.model.terminators.update(terminator, {
    cost: frame.headers.get(header.cost)?.readUInt16LE(0) ?? terminator.cost,
    precedence: precedenceIn(frame) ?? terminator.precedence,
  });
}

/** Removes a listener with its terminator; `words`, if any, tell its host. */
export function removeListener(routing: Routing, listener: Listener, words?: string): void {
  const { client, connId, terminator } = listener;
  listener.stop.abort();
  client.listeners.delete(connId);
  routing.listeners.delete(terminator.id);
  routing.controller.model.terminators.delete(terminator.id);
  if (words !== undefined) client.channel.send(type.stateClosed, [[header.connId, connId]], words);
}

/** Asks a host whether it still listens, again and again; one that does not say so in time loses its terminator. */
function inspect(routing: Routing, listener: Listener): void {
  const { client, connId, stop } = listener;
  const ask = () => {
    client.channel.send(type.inspect, [[header.connId, connId]], "", (answer) => {
      clearInterval(again);
      clearTimeout(grace);
      const said = answer.type === type.inspectAnswer ? answer.headers.get(header.connType)?.[0] : undefined;
      if (said !== listenerConnType) removeListener(routing, listener);
    });
  };
  const again = setInterval(ask, routing.times.inspectAgain_ms);
  const grace = setTimeout(() => removeListener(routing, listener), routing.times.inspectGrace_ms);
  stop.signal.addEventListener("abort", () => {
    clearInterval(again);
    clearTimeout(grace);
  });
  ask();
}

function listenerOf(client: Client, frame: Frame): Listener | undefined {
  const listener = client.listeners.get(numberIn(frame, header.connId));
  if (listener === undefined || frame.body.toString() === listener.session.token) return listener;
  throw new FrameError("the message does not carry the token that the listener was bound with");
}

function precedenceIn(frame: Frame): Terminator["precedence"] | undefined {
  const value = frame.headers.get(header.precedence)?.[0];
  if (value === undefined) return undefined;
  const precedence = precedences[value];
  if (precedence === undefined) throw new FrameError(`there is no precedence ${value}`);
  return precedence;
}
