import { randomBytes } from "node:crypto";
import { afterEach, expect, test } from "vitest";
import { bindHeaders, connectHeaders, openEdgeWorld, type Bound, type Connected, type EdgeWorld } from "./edge.ts";
import { serviceSession } from "./raw-client.ts";

let world: EdgeWorld;
afterEach(() => world.fabric.close());

const streamHeader = randomBytes(24);

async function open(options?: Parameters<typeof openEdgeWorld>[0]): Promise<{ host: Bound; caller: Connected }> {
  world = await openEdgeWorld({ routers: ["north", "south"], ...options });
  const host = await world.bound({ router: "north" });
  return { host, caller: await world.connected(host, { router: "south" }) };
}

test.each(["legacy", "oidc"] as const)(
  "data passes both ways between two %s sessions on two routers",
  async (login) => {
    world = await openEdgeWorld({ routers: ["north", "south"] });
    const host = await world.bound({ login, router: "north" });
    const caller = await world.connected(host, { login, router: "south" });
    caller.edge.send(60786, { 1000: 7, 1001: 0, 1010: 8 }, streamHeader);
    caller.edge.send(60786, { 1000: 7, 1001: 1 }, "seventeen bytes or more");
    const [begin, words] = [await host.edge.expect(60786), await host.edge.expect(60786)];
    expect([begin.headers[1000]?.readUInt32LE(0), begin.headers[1001]]).toEqual([caller.hostConnId, undefined]);
    expect([begin.headers[1010]?.readUInt32LE(0), words.headers[1010]]).toEqual([8, undefined]);
    expect([begin.body.equals(streamHeader), words.body.toString()]).toEqual([true, "seventeen bytes or more"]);

    host.edge.send(60786, { 1000: caller.hostConnId, 1001: 0 }, streamHeader);
    expect((await caller.edge.expect(60786)).headers[1000]?.readUInt32LE(0)).toBe(7);
    expect(world.fabric.violations).toEqual([]);
  },
);

test("one end's FIN passes, and the other may go on", async () => {
  const { host, caller } = await open();
  caller.edge.send(60786, { 1000: 7, 1001: 0, 1010: 1 });
  expect((await host.edge.expect(60786)).headers[1010]?.readUInt32LE(0)).toBe(1);
  host.edge.send(60786, { 1000: caller.hostConnId, 1001: 0 }, streamHeader);
  expect((await caller.edge.expect(60786)).body.equals(streamHeader)).toBe(true);
});

test("a dial tells its host who called, as the caller says and, from 2.0 on, as the network knows", async () => {
  const { caller } = await open();
  const said = (id: number) => caller.dial.headers[id]?.toString();
  expect([said(1008), said(1025), said(1034), said(1035)]).toEqual(["me", "m-1", world.caller.id, "caller"]);
  await world.fabric.close();
  const older = (await open({ version: "1.6.20" })).caller.dial;
  expect([older.headers[1008]?.toString(), older.headers[1034]]).toEqual(["me", undefined]);
});

test("closing one end closes the other with words, and late data is passed over", async () => {
  const { host, caller } = await open();
  host.edge.send(60785, { 1000: caller.hostConnId }, "close called");
  const closed = await caller.edge.expect(60785);
  expect([closed.headers[1000]?.readUInt32LE(0), closed.body.toString()]).toEqual([7, "close called"]);
  caller.edge.send(60786, { 1000: 7, 1001: 0 }, streamHeader);
  caller.edge.send(3, { 128: "still here" });
  expect((await caller.edge.expect(2)).headers[128]?.toString()).toBe("still here");
  expect(world.fabric.violations).toEqual([]);
  expect(world.fabric.counts.circuits).toBe(0);
});

test("an end whose connection breaks closes the other", async () => {
  const { host, caller } = await open();
  caller.edge.socket.destroy();
  expect((await host.edge.expect(60785)).body.toString()).toBe("session closed");
});

test("a host may refuse a dial, or answer too late", async () => {
  world = await openEdgeWorld({ times: { dialAnswer_ms: 50 } });
  const host = await world.bound();
  const { edge, token } = await world.enter(world.caller);
  const permit = await serviceSession(world.fabric, token, world.service.id, "Dial");
  edge.send(60783, connectHeaders(), permit);
  const { sequence } = await host.edge.expect(60787);
  host.edge.send(60789, { 1: sequence, 1000: 1, 1001: 0 }, "busy");
  expect((await edge.expect(60785)).body.toString()).toContain("busy");

  edge.send(60783, { ...connectHeaders(), 1000: 8 }, permit);
  const late = await host.edge.expect(60787);
  expect((await edge.expect(60785)).body.toString()).toContain("timeout");
  host.edge.send(60788, { 1: late.sequence, 1000: 1, 1001: 0 }, late.headers[1012]);
  expect((await host.edge.expect(60785)).headers[1000]).toEqual(late.headers[1012]);
  expect(world.fabric.violations).toEqual([]);
});

test("a service that nobody hosts has no terminators, nor one whose host has unbound", async () => {
  world = await openEdgeWorld();
  const { edge, token } = await world.enter(world.caller);
  const permit = await serviceSession(world.fabric, token, world.service.id, "Dial");
  edge.send(60783, connectHeaders(), permit);
  const refused = await edge.expect(60785);
  expect([refused.body.toString(), refused.headers[1014]]).toEqual([
    `service ${world.service.id} has no terminators`,
    undefined,
  ]);

  const host = await world.bound();
  host.edge.send(60791, { 1000: 1 }, host.permit);
  await expect.poll(() => world.fabric.counts.listeners).toBe(0);
  edge.send(60783, { ...connectHeaders(), 1000: 8 }, permit);
  expect((await edge.expect(60785)).body.toString()).toContain("has no terminators");
});

test("a caller gets the terminator that it names, or the best there is", async () => {
  world = await openEdgeWorld();
  const costly = await world.bound({ headers: { 1004: Buffer.from([9, 0]) } });
  const named = await world.bound({ headers: { 1006: "runner-a" } });
  const cheap = await world.bound({ headers: { 1004: Buffer.from([3, 0]) } });
  const { edge, token } = await world.enter(world.caller);
  const permit = await serviceSession(world.fabric, token, world.service.id, "Dial");
  edge.send(60783, connectHeaders(), permit);
  await cheap.edge.expect(60787);
  edge.send(60783, { ...connectHeaders(), 1000: 8, 1006: "runner-a" }, permit);
  await named.edge.expect(60787);
  costly.edge.send(60794, { 1000: 1, 1005: Buffer.from([1]) }, costly.permit);
  await expect
    .poll(() => world.fabric.model.terminators.find(({ precedence }) => precedence === "required"))
    .toBeDefined();
  edge.send(60783, { ...connectHeaders(), 1000: 9 }, permit);
  await costly.edge.expect(60787);
});

test("a listener that binds again under its id takes its own place", async () => {
  world = await openEdgeWorld();
  const listenerId = randomBytes(32);
  const host = await world.bound({ headers: { 1021: listenerId } });
  host.edge.send(60790, { ...bindHeaders(), 1000: 2, 1021: listenerId }, host.permit);
  expect((await host.edge.expect(60785)).headers[1000]?.readUInt32LE(0)).toBe(1);
  await host.edge.expect(60784);
  expect(world.fabric.counts.listeners).toBe(1);
});

test("a reader that takes nothing holds its writer back, and memory stays bounded", async () => {
  const { host, caller } = await open();
  host.edge.socket.pause();
  caller.edge.send(60786, { 1000: 7, 1001: 0 }, streamHeader);
  const piece = randomBytes(31 * 1024);
  let sent = 1;
  while (caller.edge.socket.writableLength < 4 * 1024 * 1024 && sent < 4000) {
    caller.edge.send(60786, { 1000: 7, 1001: sent++ }, piece);
    if (sent % 32 === 0) await new Promise(setImmediate);
  }
  expect(caller.edge.socket.writableLength).toBeGreaterThan(1024 * 1024);
  host.edge.socket.resume();
  for (let received = 0; received < sent; received++) await host.edge.expect(60786);
  expect(world.fabric.violations).toEqual([]);
});
