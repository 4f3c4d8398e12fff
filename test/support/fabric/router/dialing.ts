import { chooseTerminator, commonRouters, isGranted } from "../access.ts";
import { addEnd, closeCircuit, createCircuit } from "./circuits.ts";
import { FrameError, type Frame, type Header } from "./frames.ts";
import { header, numberIn, textIn, type } from "./messages.ts";
import type { Service, ServiceSession } from "../model.ts";
import type { Circuit, Client, Listener, Routing } from "./state.ts";

/** A permission that was shown with a Connect or a Bind, and what it is for. */
export interface Permit {
  readonly session: ServiceSession;
  readonly service: Service;
}

/** Finds what a service session's token permits a client on its router now, or says in words why it permits nothing. */
export function permitOf(routing: Routing, client: Client, token: string, wanted: "Dial" | "Bind"): Permit | string {
  const { model } = routing.controller;
  const session = model.sessions.find((one) => one.token === token);
  const { caller } = client;
  if (caller === undefined || session?.apiSessionId !== caller.session.id) return "invalid session";
  if (session.type !== wanted) return `wrong session type: ${session.type} to ${wanted.toLowerCase()}`;
  const service = model.services.get(session.serviceId);
  if (service === undefined) return `service ${session.serviceId} not found`;
  if (!isGranted(model, wanted, caller.identity, service))
    return `no access to service, failed ${wanted.toLowerCase()} access check`;
  const routers = commonRouters(model, caller.identity, service);
  if (!routers.some(({ id }) => id === client.routerId)) return "invalid edge router for session";
  return { session, service };
}

/** Takes note of a connection id that a client brings up. Throws a `FrameError` if it was used before. */
export function claimConnId(client: Client, frame: Frame): number {
  const connId = numberIn(frame, header.connId);
  if (client.usedConnIds.has(connId)) throw new FrameError(`the connection id ${connId} was used before`);
  client.usedConnIds.add(connId);
  return connId;
}

/** Sees to a Connect: chooses a terminator, dials its host, and answers when the host has. */
export function connect(routing: Routing, client: Client, frame: Frame): void {
  const connId = claimConnId(client, frame);
  const refuse = (words: string) => client.channel.reply(frame, type.stateClosed, [[header.connId, connId]], words);
  if (numberIn(frame, header.sequence) !== 0) throw new FrameError("Connect is not numbered 0");

  const permit = permitOf(routing, client, frame.body.toString(), "Dial");
  if (typeof permit === "string") return refuse(permit);
  const { service, session } = permit;
  if (service.encryptionRequired && !frame.headers.has(header.publicKey)) {
    return refuse("encryption required on service, initiator did not send public header");
  }
  const wanted = textIn(frame, header.terminatorIdentity);
  const terminator = chooseTerminator(routing.controller.model, service.id, wanted);
  const listener = terminator && routing.listeners.get(terminator.id);
  if (listener === undefined) return refuse(`service ${service.id} has no terminators${wanted && ` for ${wanted}`}`);

  const circuit = createCircuit(routing, session, service.encryptionRequired);
  addEnd(circuit, "dialer", client, connId);
  return dialHost(routing, circuit, { frame, listener, service });
}

function dialHost(
  routing: Routing,
  circuit: Circuit,
  { frame, listener, service }: { readonly frame: Frame; readonly listener: Listener; readonly service: Service },
): void {
  const { dialer } = circuit;
  if (dialer === undefined) return;
  const host = listener.client;
  const hostConnId = host.nextRouterConnId++;
  const refuse = (words: string) => {
    if (circuit.isClosed) return;
    closeCircuit(routing, circuit, words, dialer);
    dialer.client.channel.reply(frame, type.stateClosed, [[header.connId, dialer.connId]], words);
  };
  const timer = setTimeout(
    () => refuse("timeout waiting for the host to answer the dial"),
    routing.times.dialAnswer_ms,
  );

  timer.unref();

  const answered = (answer: Frame) => {
    clearTimeout(timer);
    if (answer.type === type.dialFailed) return refuse(`dial failed: ${answer.body.toString()}`);
    checkSuccess(answer, listener.connId, hostConnId);
    if (circuit.isClosed) {
      host.channel.send(type.stateClosed, [[header.connId, hostConnId]], "close called");
      return undefined;
    }
    addEnd(circuit, "host", host, hostConnId);
    routing.dials.set(service.name, (routing.dials.get(service.name) ?? 0) + 1);
    const key: Header[] = listener.publicKey === undefined ? [] : [[header.publicKey, listener.publicKey]];
    const connected: Header[] = [[header.connId, dialer.connId], [header.circuitId, circuit.id], ...key];
    dialer.client.channel.reply(frame, type.stateConnected, connected);
    return undefined;
  };
  host.usedConnIds.add(hostConnId);
  host.channel.send(
    type.dial,
    dialHeaders(routing, circuit, { frame, listener, hostConnId }),
    listener.session.token,
    answered,
  );
}

/** What a host hears of a dial. Who the caller says it is goes on as it came. */
function dialHeaders(
  { controller }: Routing,
  circuit: Circuit,
  dial: { readonly frame: Frame; readonly listener: Listener; readonly hostConnId: number },
): Header[] {
  const passedOn = [header.callerId, header.publicKey, header.appData, header.marker].flatMap((id): Header[] => {
    const value = dial.frame.headers.get(id);
    return value === undefined ? [] : [[id, value]];
  });
  const identity = circuit.dialer?.client.caller?.identity;
  const caller: Header[] =
    controller.version === "1.6.20" || identity === undefined
      ? []
      : [
          [header.dialerId, identity.id],
          [header.dialerName, identity.name],
        ];
  return [
    [header.connId, dial.listener.connId],
    [header.routerConnId, dial.hostConnId],
    [header.circuitId, circuit.id],
    ...passedOn,
    ...caller,
  ];
}

function checkSuccess(answer: Frame, listenerConnId: number, hostConnId: number): void {
  if (answer.type !== type.dialSuccess) throw new FrameError(`a Dial was answered by content type ${answer.type}`);
  const connId = numberIn(answer, header.connId);
  if (connId !== listenerConnId && connId !== hostConnId)
    throw new FrameError(`DialSuccess for the connection ${connId}`);
  if (answer.body.length !== 4 || answer.body.readUInt32LE(0) !== hostConnId) {
    throw new FrameError(`DialSuccess does not carry the connection id ${hostConnId} that the router gave`);
  }
}
