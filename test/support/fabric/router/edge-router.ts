import { randomUUID } from "node:crypto";
import { once } from "node:events";
import net, { type AddressInfo } from "node:net";
import tls, { TLSSocket } from "node:tls";
import { callerOfJwt, callerOfToken, type Caller } from "../controller/api-sessions.ts";
import { openChannel, type Channel } from "./channel.ts";
import { closeCircuit, forward } from "./circuits.ts";
import { connect } from "./dialing.ts";
import { createFrameFaults, type FrameFaults } from "./frame-faults.ts";
import { FrameError, type Frame, type Header } from "./frames.ts";
import { bind, removeListener, unbind, updateBind } from "./hosting.ts";
import { isTrusted } from "../controller/logins.ts";
import { faultOf, header, numberIn, textIn, type } from "./messages.ts";
import type { EdgeRouter } from "../model.ts";
import { certificatesShown, fingerprintOf, type KeyPair } from "../pki.ts";
import type { Client, Routing } from "./state.ts";
import { routerVersion } from "../version.ts";

/** A router that runs, and what can go wrong with it. */
export interface RunningRouter {
  readonly name: string;
  /** Where clients find it, as `host:port`; the same after it came back. */
  readonly address: string;
  readonly frames: FrameFaults;
  /** Ends every connection; refuses new ones, and the controller offers it to nobody, until `revive`. */
  kill(): Promise<void>;
  revive(): Promise<void>;
  /** Refuses the next `times` tokens after a Hello that succeeded, whatever they are. */
  refuseTokens(times: number): void;
  /** Refuses the next `times` clients at their Hello, as a router does that has not heard of a new authority. */
  refuseAuthorities(times: number): void;
  /** Ends the connections of one identity without a word. */
  drop(identityId: string): void;
  /** Asks every client for a sign of life; resolves when all have answered. Rejects after `timeout_ms`. */
  probe(timeout_ms: number): Promise<void>;
}

const alpn = "ziti-edge";
const firstRouterConnId = 0x8000_0000;
const maxEarlyFrames = 1000;

/** Opens a router on a port of its own. */
export async function openEdgeRouter(routing: Routing, router: EdgeRouter, identity: KeyPair): Promise<RunningRouter> {
  const frames = createFrameFaults();
  const sockets = new Set<net.Socket>();
  const clients = new Set<Client>();
  const refusing = { tokens: 0, authorities: 0 };
  const secureContext = tls.createSecureContext({
    key: identity.keyPem,
    cert: identity.certPem,
    minVersion: "TLSv1.2",
  });
  const server = net.createServer({ noDelay: true }, (raw) => {
    sockets.add(raw);
    raw.on("close", () => sockets.delete(raw)).on("error", () => {});
    // Made by hand, for it must refuse a client without a certificate by TLS, and judge the others by itself.
    const socket = new TLSSocket(raw, {
      isServer: true,
      secureContext,
      requestCert: true,
      rejectUnauthorized: true,
      ALPNProtocols: [alpn],
    });
    socket.on("error", () => raw.destroy());
    socket.on("secure", () => accept(socket));
  });

  function accept(socket: TLSSocket): void {
    const [peer, ...chain] = certificatesShown(socket);
    if (peer === undefined) return void socket.destroy();
    const client: Client = {
      channel: openChannel({
        id: randomUUID(),
        socket,
        peer,
        chain,
        faults: frames,
        onFrame: (frame) => hear(frame),
        onViolation: (text) => routing.violations.add(`router ${router.name}: ${text}`),
        onClose: () => leave(client),
      }),
      routerId: router.id,
      caller: undefined,
      ends: new Map(),
      listeners: new Map(),
      usedConnIds: new Set(),
      nextRouterConnId: firstRouterConnId,
    };
    const early: Frame[] = [];
    let hear = (first: Frame) => {
      hear = (frame) => {
        if (early.push(frame) > maxEarlyFrames) throw new FrameError("too much said before the token was looked up");
      };
      greet(client, first, () => {
        hear = (frame) => handle(client, frame);
        for (const frame of early.splice(0)) handle(client, frame);
      });
    };
  }

  /** Answers a Hello. That it succeeds says nothing of the token, which is looked up afterwards. */
  function greet(client: Client, frame: Frame, enter: () => void): void {
    check(frame);
    if (frame.type !== type.hello)
      throw new FrameError(`a connection begins with content type ${frame.type}, not Hello`);
    const { channel } = client;
    const isUnknown = refusing.authorities > 0 || !isTrusted(routing.controller, channel.peer, channel.chain);
    if (isUnknown) {
      refusing.authorities = Math.max(0, refusing.authorities - 1);
      channel.reply(frame, type.result, [success(false)], "client certificate was not issued by a trusted CA");
      setImmediate(() => setImmediate(() => channel.close()));
      return;
    }
    const posture: Header[] = routing.controller.version === "2.0.3" ? [[header.posture, Buffer.from([1])]] : [];
    channel.reply(frame, type.result, [
      success(true),
      [header.version, routerVersion(routing.controller.version)],
      [header.routerId, router.id],
      [header.connectionId, channel.id],
      ...posture,
    ]);
    setImmediate(() => lookUp(client, textIn(frame, header.sessionToken), enter));
  }

  function lookUp(client: Client, token: string, enter: () => void): void {
    const { channel } = client;
    if (channel.isClosed) return;
    const caller = callerOfToken(routing.controller, token);
    if (refusing.tokens > 0 || (caller !== undefined && !isBound(caller, channel))) {
      refusing.tokens = Math.max(0, refusing.tokens - 1);
      return channel.close();
    }
    if (caller === undefined) {
      setTimeout(() => channel.close(), routing.times.lookup_ms).unref();
      return undefined;
    }
    client.caller = caller;
    clients.add(client);
    routing.clients.add(client);
    try {
      enter();
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      routing.violations.add(`router ${router.name}: ${error.message}`);
      channel.close();
    }
    return undefined;
  }

  function check(frame: Frame): void {
    const fault = faultOf(frame);
    if (fault !== undefined) throw new FrameError(fault);
  }

  function handle(client: Client, frame: Frame): void {
    check(frame);
    const { channel } = client;
    const connId = numberIn(frame, header.connId);
    switch (frame.type) {
      case type.data: {
        const end = client.ends.get(connId);
        if (end !== undefined) return forward(end, frame);
        if (!client.usedConnIds.has(connId)) throw new FrameError(`Data on the unknown connection ${connId}`);
        return undefined;
      }
      case type.connect:
        return connect(routing, client, frame);
      case type.bind:
        return bind(routing, client, frame);
      case type.unbind:
        return unbind(routing, client, frame);
      case type.updateBind:
        return updateBind(routing, client, frame);
      case type.stateClosed:
        return closedBy(client, connId, frame.body.toString());
      case type.updateToken:
        return updateToken(client, frame);
      case type.latency:
      case type.ping: {
        const reflected = frame.headers.get(header.reflected);
        const echo: Header[] = reflected === undefined ? [] : [[header.reflected, reflected]];
        return channel.reply(frame, type.result, [success(true), ...echo]);
      }
      case type.result:
      case type.inspectAnswer:
      case type.dialSuccess:
      case type.dialFailed:
        if (!channel.settle(frame, numberIn(frame, header.replyFor))) throw new FrameError("an answer to nothing");
        return undefined;
      default:
        throw new FrameError(`content type ${frame.type} comes at the wrong time`);
    }
  }

  function closedBy(client: Client, connId: number, words: string): void {
    const end = client.ends.get(connId);
    const listener = client.listeners.get(connId);
    if (end !== undefined) return closeCircuit(routing, end.circuit, words === "" ? "close called" : words, end);
    if (listener !== undefined) return removeListener(routing, listener);
    if (!client.usedConnIds.has(connId)) throw new FrameError(`StateClosed of the unknown connection ${connId}`);
    return undefined;
  }

  function updateToken(client: Client, frame: Frame): void {
    const { channel, caller } = client;
    const updated = callerOfJwt(routing.controller, frame.body.toString(), "a");
    if (updated === undefined || caller === undefined || updated.session.id !== caller.session.id) {
      return channel.reply(frame, type.tokenRefused, [], "the token is not of this connection's API session");
    }
    client.caller = updated;
    return channel.reply(frame, type.tokenUpdated, []);
  }

  function leave(client: Client): void {
    clients.delete(client);
    routing.clients.delete(client);
    for (const listener of client.listeners.values()) removeListener(routing, listener);
    for (const end of client.ends.values()) closeCircuit(routing, end.circuit, "session closed", end);
  }

  function listen(port: number): Promise<unknown> {
    return once(server.listen(port, "127.0.0.1"), "listening");
  }

  await listen(0);
  const { port } = server.address() as AddressInfo;
  const setOnline = (isOnline: boolean) => routing.controller.model.edgeRouters.update(router, { isOnline });
  routing.controller.model.edgeRouters.update(router, { address: `127.0.0.1:${port}`, isOnline: true });

  return {
    name: router.name,
    address: `127.0.0.1:${port}`,
    frames,
    async kill() {
      setOnline(false);
      const closed = new Promise((done) => server.close(done));
      for (const socket of sockets) socket.resetAndDestroy();
      await closed;
    },
    async revive() {
      await listen(port);
      setOnline(true);
    },
    refuseTokens: (times) => void (refusing.tokens = times),
    refuseAuthorities: (times) => void (refusing.authorities = times),
    drop(identityId) {
      for (const { caller, channel } of clients) if (caller?.identity.id === identityId) channel.close();
    },
    async probe(timeout_ms) {
      const answers = [...clients].map(async ({ channel }) => probeOf(channel, timeout_ms));
      await Promise.all(answers);
    },
  };
}

/** Whether a session may be used with the certificate of a channel. */
function isBound({ session }: Caller, { peer }: Channel): boolean {
  return session.fingerprints.includes(fingerprintOf(peer));
}

function success(yes: boolean): Header {
  return [header.success, Buffer.from([yes ? 1 : 0])];
}

async function probeOf(channel: Channel, timeout_ms: number): Promise<void> {
  const mark = randomUUID();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const timer = setTimeout(() => reject(new Error("a client did not answer the latency probe")), timeout_ms);
  channel.send(type.latency, [[header.reflected, mark]], "", (answer) => {
    clearTimeout(timer);
    if (textIn(answer, header.reflected) === mark) resolve();
    else reject(new Error("a client did not echo the mark of the latency probe"));
  });
  return promise;
}
