import { randomBytes } from "node:crypto";
import { afterEach, expect, test } from "vitest";
import { openEdgeWorld, type Bound, type Connected, type EdgeWorld } from "./edge.ts";
import { rawFrame } from "./raw-client.ts";

let world: EdgeWorld;
afterEach(() => world.fabric.close());

const data = 60786;
const stateClosed = 60785;
const streamHeader = randomBytes(24);

async function open(): Promise<{ host: Bound; caller: Connected }> {
  world = await openEdgeWorld({ routers: ["north", "south"] });
  const host = await world.bound({ router: "north" });
  return { host, caller: await world.connected(host, { router: "south" }) };
}

/** The caller says something; what `fault` does to it happens at the host's router. */
function say({ edge }: Connected): void {
  edge.send(data, { 1000: 7, 1001: 0 }, streamHeader);
}

test("a router that dies takes its connections, and is at the same place when it is back", async () => {
  const { host, caller } = await open();
  const { address } = world.fabric.router("north");
  await world.fabric.router("north").kill();
  await host.edge.ended;
  expect((await caller.edge.expect(stateClosed)).body.toString()).toBe("session closed");
  await expect(world.enter(world.host, { router: "north" })).rejects.toThrow("ECONNREFUSED");
  expect(world.fabric.model.edgeRouters.all().map(({ isOnline }) => isOnline)).toEqual([false, true]);

  await world.fabric.router("north").revive();
  expect(world.fabric.router("north").address).toBe(address);
  await world.bound({ router: "north" });
});

test("an identity that is dropped may come again", async () => {
  const { caller } = await open();
  world.fabric.router("south").drop(world.caller.id);
  await caller.edge.ended;
  await world.enter(world.caller, { router: "south" });
});

test("a frame that is cut ends in the middle, and so does its connection", async () => {
  const { host, caller } = await open();
  const received: Buffer[] = [];
  host.edge.socket.on("data", (chunk: Buffer) => received.push(chunk));
  world.fabric.router("north").frames.arm("cut", { type: data });
  say(caller);
  await host.edge.ended;
  const whole = rawFrame(data, 0, { 1000: caller.hostConnId }, streamHeader);
  expect(Buffer.concat(received)).toHaveLength(Math.floor(whole.length / 2));
});

test("a frame that is duplicated comes twice, one that is dropped never", async () => {
  const { host, caller } = await open();
  const { frames } = world.fabric.router("north");
  frames.arm("duplicate", { type: data });
  say(caller);
  const [first, second] = [await host.edge.expect(data), await host.edge.expect(data)];
  expect([first.sequence, first.body]).toEqual([second.sequence, second.body]);

  frames.arm("drop", { type: data });
  caller.edge.send(data, { 1000: 7, 1001: 1 }, "this one does not arrive");
  caller.edge.send(data, { 1000: 7, 1001: 2 }, "and this one does arrive");
  expect((await host.edge.expect(data)).body.toString()).toBe("and this one does arrive");
});

test("a frame that is malformed claims headers that no frame has", async () => {
  const { host, caller } = await open();
  const claimed = new Promise<number>((done) => {
    host.edge.socket.once("data", (chunk: Buffer) => done(chunk.readUInt32LE(12)));
  });
  world.fabric.router("north").frames.arm("malform", { type: data });
  say(caller);
  expect(await claimed).toBe(0xffff_ffff);
});

test("a frame that is delayed holds back those behind it, in their order", async () => {
  const { host, caller } = await open();
  world.fabric.router("north").frames.arm({ delay_ms: 40 }, { type: data });
  const begun = Date.now();
  say(caller);
  caller.edge.send(data, { 1000: 7, 1001: 1 }, "seventeen bytes or more");
  expect((await host.edge.expect(data)).body.length).toBe(24);
  expect((await host.edge.expect(data)).body.toString()).toBe("seventeen bytes or more");
  expect(Date.now() - begun).toBeGreaterThanOrEqual(39);
});

test("a slow router is slow until it is told otherwise", async () => {
  const { host, caller } = await open();
  const { frames } = world.fabric.router("north");
  frames.slow(30);
  const begun = Date.now();
  say(caller);
  await host.edge.expect(data);
  expect(Date.now() - begun).toBeGreaterThanOrEqual(29);
  frames.slow(0);
  await expect.poll(() => frames.isArmed).toBe(false);
});
