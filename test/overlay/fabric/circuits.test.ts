import { randomBytes } from "node:crypto";
import { afterEach, beforeEach, expect, test } from "vitest";
import { startFabric, type Fabric, type FabricIdentity } from "../../support/fabric/fabric.ts";
import type { Service } from "../../support/fabric/model.ts";
import { oidcLogin } from "./oidc-login.ts";
import { hello, legacyLogin, serviceSession, type RawEdge } from "./raw-client.ts";

let fabric: Fabric;
let host: FabricIdentity;
let caller: FabricIdentity;
let service: Service;

beforeEach(async () => {
  fabric = await startFabric({ routers: ["north", "south"] });
  host = await fabric.addIdentity("host");
  caller = await fabric.addIdentity("caller");
  service = fabric.addService("echo");
  fabric.permit("Bind", [`@${host.id}`], service);
  fabric.permit("Dial", [`@${caller.id}`], service);
});
afterEach(() => fabric.close());

const logins = {
  legacy: legacyLogin,
  oidc: async (...args: Parameters<typeof oidcLogin>) => (await oidcLogin(...args)).access,
};

async function bound(login: (typeof logins)["legacy"], router = "north"): Promise<RawEdge> {
  const token = await login(fabric, host);
  const edge = await hello(fabric, host, token, router);
  const permit = await serviceSession(fabric, token, service.id, "Bind");
  edge.send(60790, { 1000: 1, 1001: 0, 1003: randomBytes(32), 1012: true, 1021: randomBytes(32) }, permit);
  await edge.expect(60784);
  return edge;
}

async function connected(login: (typeof logins)["legacy"], listening: RawEdge, router = "south") {
  const token = await login(fabric, caller);
  const edge = await hello(fabric, caller, token, router);
  const permit = await serviceSession(fabric, token, service.id, "Dial");
  edge.send(60783, { 1000: 7, 1001: 0, 1003: randomBytes(32), 1008: "me", 1025: "m-1" }, permit);
  const dial = await listening.expect(60787);
  const hostId = dial.headers[1012] ?? Buffer.alloc(4);
  listening.send(60788, { 1: dial.sequence, 1000: 1, 1001: 0 }, hostId);
  const answer = await edge.expect(60784);
  return { edge, dial, answer, hostId: hostId.readUInt32LE(0) };
}

test.each(["legacy", "oidc"] as const)("data passes both ways between two %s sessions on two routers", async (kind) => {
  const listening = await bound(logins[kind]);
  const { edge, dial, hostId } = await connected(logins[kind], listening);
  expect(dial.headers[1008]?.toString()).toBe("me");
  expect(dial.headers[1034]?.toString()).toBe(caller.id);

  edge.send(60786, { 1000: 7, 1001: 0, 1010: 8 }, randomBytes(24));
  edge.send(60786, { 1000: 7, 1001: 1 }, "seventeen bytes or more");
  const begin = await listening.expect(60786);
  const words = await listening.expect(60786);
  expect([begin.headers[1000]?.readUInt32LE(0), begin.headers[1001], begin.body.length]).toEqual([
    hostId,
    undefined,
    24,
  ]);
  expect(words.body.toString()).toBe("seventeen bytes or more");

  listening.send(60786, { 1000: hostId, 1001: 0 }, randomBytes(24));
  listening.send(60786, { 1000: hostId, 1001: 1, 1010: 1 });
  expect((await edge.expect(60786)).headers[1000]?.readUInt32LE(0)).toBe(7);
  expect((await edge.expect(60786)).headers[1010]?.readUInt32LE(0)).toBe(1);
  expect(fabric.violations).toEqual([]);
});
