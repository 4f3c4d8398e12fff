import { once } from "node:events";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import tls from "node:tls";
import fc from "fast-check";
import { beforeAll, expect, test } from "vitest";
import { OverlayError } from "../../../overlay/errors.ts";
import { bindThrough, createListenerId } from "../../../overlay/openziti/bind.ts";
import { openChannel, type Channel } from "../../../overlay/openziti/channel.ts";
import { dialThrough } from "../../../overlay/openziti/dial.ts";
import { loadSodium } from "../../../overlay/openziti/sodium.ts";
import { createFabricAuthority, type FabricAuthority, type KeyPair } from "../../support/fabric/pki.ts";
import { rawFrame } from "../fabric/raw-client.ts";
import { until } from "../http2-client.ts";

// A router that has let us in and says whatever it likes: what it says is well framed, since what is not ends the channel.

let authority: FabricAuthority;
let [server, client]: KeyPair[] = [];
const sodium = await loadSodium();

beforeAll(async () => {
  authority = await createFabricAuthority();
  [server, client] = [await authority.issueServer("hostile"), await authority.createClient("us")];
});

/** What a message is made of that might mean something to a client: types, ids and headers that it knows, and some that it does not. */
const types = [0, 2, 3, 60_784, 60_785, 60_786, 60_787, 60_788, 60_789, 60_798, 60_800, 60_801, 4_000_000_000];
const headerIds = [0, 1, 2, 128, 1000, 1001, 1003, 1008, 1010, 1012, 1014, 1021, 1022, 1026, 1035, 77];
const ids = fc.constantFrom(0, 1, 2, 3, 7, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff);
const values = fc.oneof(ids, fc.uint8Array({ maxLength: 40 }).map(Buffer.from), fc.constant(Buffer.alloc(32, 9)));
const bodies = fc.oneof(
  fc.constant(Buffer.alloc(0)),
  fc.uint8Array({ maxLength: 60 }).map(Buffer.from),
  fc.constant(Buffer.alloc(24, 1)),
  fc.constant(Buffer.alloc(40_000, 2)),
);
const frames = fc
  .record({
    type: fc.constantFrom(...types),
    sequence: ids,
    connId: fc.option(ids),
    headers: fc.dictionary(fc.constantFrom(...headerIds.map(String)), values, { maxKeys: 5 }),
    body: bodies,
  })
  .map(({ type, sequence, connId, headers, body }) =>
    rawFrame(type, sequence, { ...headers, ...(connId !== null && { 1000: connId }) }, body),
  );

/** Says yes to the Hello, then `said`, and goes. */
async function openHostile(said: readonly Buffer[]) {
  const hostile = tls.createServer({ key: server!.keyPem, cert: server!.certPem, ALPNProtocols: ["ziti-edge"] });
  hostile.on("secureConnection", (socket) => {
    socket.on("error", () => {});
    socket.once("data", (hello: Buffer) => {
      socket.write(rawFrame(2, 0xffff_ffff, { 1: hello.readUInt32LE(8), 2: true }));
      socket.once("data", () => socket.end(Buffer.concat(said)));
    });
  });
  await once(hostile.listen(0, "127.0.0.1"), "listening");
  const { port } = hostile.address() as AddressInfo;
  const options = {
    router: { name: "hostile", host: "127.0.0.1", port },
    credential: { ...client!, caPem: authority.caPem },
    token: "token",
    label: { name: "us", version: "1" },
    probeInterval_ms: 60_000,
    probeTimeout_ms: 60_000,
  };
  return { hostile, channel: await openChannel(options, AbortSignal.timeout(60_000)) };
}

/** Everything that a client does on a channel; what came of it. */
async function useChannel(channel: Channel, encrypted: boolean): Promise<unknown[]> {
  const signal = AbortSignal.timeout(60_000);
  const service = { name: "service", encrypted, token: "token", routers: [] };
  const ends: Duplex[] = [];
  const take = (end: Duplex) => void ends.push(end.on("error", () => {}).resume());
  const bounds = { sodium, maxReceive_bytes: 100_000 };
  const bind = { service, hosting: {}, listenerId: createListenerId(), ...bounds, hasRoom: () => ends.length < 10 };
  const dial = { service, identity: undefined, caller: "us", ...bounds };
  const outcomes = await Promise.allSettled([
    dialThrough(channel, dial, signal).then((end) => (end.write("hello"), take(end))),
    bindThrough(channel, { ...bind, onConnection: take }, signal).then(({ lost }) => lost),
    channel.updateToken("another", signal),
  ]);
  await channel.closed;
  await until(() => ends.every(({ closed }) => closed), "all that was opened is closed");
  const reasons = outcomes.map((outcome) => (outcome.status === "rejected" ? (outcome.reason as unknown) : undefined));
  return [...reasons, ...ends.map(({ errored }) => errored)].filter((error) => error !== undefined && error !== null);
}

test.each([true, false])(
  "whatever a router says, what goes through it ends in known ways (encrypted: %s)",
  async (encrypted) => {
    const property = fc.asyncProperty(fc.array(frames, { maxLength: 30 }), async (said) => {
      const { hostile, channel } = await openHostile(said);
      const errors = await useChannel(channel, encrypted);
      expect(errors.filter((error) => !(error instanceof OverlayError))).toEqual([]);
      expect({ isOpen: channel.isOpen, isIdle: channel.isIdle }).toEqual({ isOpen: false, isIdle: true });
      await new Promise((done) => hostile.close(done));
    });
    await fc.assert(property, { numRuns: 150 });
  },
);
