import { randomUUID } from "node:crypto";
import { once } from "node:events";
import net, { type AddressInfo } from "node:net";
import tls, { TLSSocket } from "node:tls";
import type { EdgeRouter } from "../model.ts";
import { certificatesShown, type KeyPair } from "../pki.ts";
import { openChannel, type Channel } from "./channel.ts";
import { createFrameFaults, type FrameFaults } from "./frame-faults.ts";
import { FrameError, type Frame } from "./frames.ts";
import { greet, type Door } from "./greeting.ts";
import { handle, leave } from "./handling.ts";
import { header, textIn, type } from "./messages.ts";
import type { Client, Routing } from "./state.ts";

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
  /** Tells the identities whose names `isFor` takes another address of this router from now on, as `host:port`. */
  detour(address: string, isFor: (identityName: string) => boolean): void;
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
  const door: Door = { routing, routerId: router.id, refusals: { tokens: 0, authorities: 0 } };
  const sockets = new Set<net.Socket>();
  const secureContext = tls.createSecureContext({
    key: identity.keyPem,
    cert: identity.certPem,
    minVersion: "TLSv1.2",
  });
  const server = net.createServer({ noDelay: true }, (raw) => {
    sockets.add(raw);
    raw.on("close", () => sockets.delete(raw)).on("error", () => {});
    // Made by hand, for it must refuse a client without a certificate by TLS, and judge the others by itself.
    const options = { isServer: true, secureContext, requestCert: true, rejectUnauthorized: true };
    const socket = new TLSSocket(raw, { ...options, ALPNProtocols: [alpn] });
    socket.on("error", () => raw.destroy());
    socket.on("secure", () => accept(door, socket, { name: router.name, faults: frames }));
  });
  const listen = (port: number) => once(server.listen(port, "127.0.0.1"), "listening");
  const setOnline = (isOnline: boolean) => routing.controller.model.edgeRouters.update(router, { isOnline });
  const ownClients = () => [...routing.clients].filter(({ routerId }) => routerId === router.id);

  await listen(0);
  const { port } = server.address() as AddressInfo;
  const address = `127.0.0.1:${port}`;
  routing.controller.model.edgeRouters.update(router, { address, isOnline: true });
  return {
    name: router.name,
    address,
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
    refuseTokens: (times) => void (door.refusals.tokens = times),
    refuseAuthorities: (times) => void (door.refusals.authorities = times),
    detour: (through, isFor) => void routing.controller.detours.push({ routerId: router.id, address: through, isFor }),
    drop(identityId) {
      for (const { caller, channel } of ownClients()) if (caller?.identity.id === identityId) channel.close();
    },
    async probe(timeout_ms) {
      await Promise.all(ownClients().map(({ channel }) => probe(channel, timeout_ms)));
    },
  };
}

/** Lets a client in: what it says after its Hello waits until its token has been looked up. */
function accept(door: Door, socket: TLSSocket, named: { readonly name: string; readonly faults: FrameFaults }): void {
  const { routing, routerId } = door;
  const [peer, ...chain] = certificatesShown(socket);
  if (peer === undefined) return void socket.destroy();
  const early: Frame[] = [];
  let hear = begin;
  const channel = openChannel({
    id: randomUUID(),
    socket,
    peer,
    chain,
    faults: named.faults,
    onFrame: (frame) => hear(frame),
    onViolation: (text) => routing.violations.add(`router ${named.name}: ${text}`),
    onClose: () => leave(routing, client),
  });
  const client: Client = {
    channel,
    routerId,
    caller: undefined,
    ends: new Map(),
    listeners: new Map(),
    usedConnIds: new Set(),
    nextRouterConnId: firstRouterConnId,
  };

  function begin(first: Frame): void {
    hear = (frame) => {
      if (early.push(frame) > maxEarlyFrames) throw new FrameError("too much said before the token was looked up");
    };
    void greet(door, channel, first).then((caller) => {
      if (channel.isClosed) return;
      client.caller = caller;
      routing.clients.add(client);
      hear = (frame) => handle(routing, client, frame);
      channel.guard(() => early.splice(0).forEach(hear));
    });
  }
}

async function probe(channel: Channel, timeout_ms: number): Promise<void> {
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
