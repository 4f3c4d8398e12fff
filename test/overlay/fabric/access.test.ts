import { afterEach, expect, test } from "vitest";
import type { Fabric } from "../../support/fabric/fabric.ts";
import { connectHeaders, openEdgeWorld } from "./edge.ts";
import { hello, legacyLogin, rest, serviceSession, tokenHeader } from "./raw-client.ts";

let fabric: Fabric;
afterEach(() => fabric.close());

test("a router serves whom policies give it, for what policies give it", async () => {
  const world = await openEdgeWorld({ routers: ["north", "south"], openRouterPolicies: false });
  fabric = world.fabric;
  const token = await legacyLogin(fabric, world.caller);
  const open = () => serviceSession(fabric, token, world.service.id, "Dial");
  const offered = async () => {
    const answer = await rest(fabric, "GET /edge/client/v1/current-identity/edge-routers", {
      headers: tokenHeader(token),
    });
    return (answer.json().data as unknown as { readonly name: string }[]).map(({ name }) => name);
  };
  await expect(open()).rejects.toThrow("NO_EDGE_ROUTERS_AVAILABLE");

  const [north] = fabric.model.edgeRouters.all().map(({ id }) => [`@${id}`]);
  fabric.model.edgeRouterPolicies.insert({ name: "all", identityRoles: ["#all"], edgeRouterRoles: ["#all"] });
  fabric.model.serviceEdgeRouterPolicies.insert({ name: "n", serviceRoles: ["#all"], edgeRouterRoles: north ?? [] });
  expect(await offered()).toEqual(["north", "south"]);
  const permit = await open();
  const elsewhere = await hello(fabric, world.caller, token, "south");
  elsewhere.send(60783, connectHeaders(), permit);
  expect((await elsewhere.expect(60785)).body.toString()).toBe("invalid edge router for session");
  const here = await hello(fabric, world.caller, token, "north");
  here.send(60783, connectHeaders(), permit);
  expect((await here.expect(60785)).body.toString()).toContain("has no terminators");
});

test("a session's token opens what it is for, to whom it was given", async () => {
  const world = await openEdgeWorld();
  fabric = world.fabric;
  fabric.permit("Bind", [`@${world.caller.id}`], world.service);
  const { edge, token } = await world.enter(world.caller);
  const host = await world.enter(world.host);
  const binding = await serviceSession(fabric, token, world.service.id, "Bind");
  edge.send(60783, connectHeaders(), binding);
  expect((await edge.expect(60785)).body.toString()).toContain("wrong session type");
  const dialing = await serviceSession(fabric, token, world.service.id, "Dial");
  host.edge.send(60783, connectHeaders(), dialing);
  expect((await host.edge.expect(60785)).body.toString()).toBe("invalid session");
});

test("an encrypted service is not dialed in the clear; a clear one passes what comes", async () => {
  const world = await openEdgeWorld();
  fabric = world.fabric;
  const { edge, token } = await world.enter(world.caller);
  const permit = await serviceSession(fabric, token, world.service.id, "Dial");
  const { 1003: _, ...inTheClear } = connectHeaders();
  edge.send(60783, inTheClear, permit);
  expect((await edge.expect(60785)).body.toString()).toContain("did not send public header");

  fabric.model.services.update(world.service, { encryptionRequired: false });
  const host = await world.bound();
  const caller = await world.connected(host);
  caller.edge.send(60786, { 1000: 7, 1001: 0 }, "hi");
  expect((await host.edge.expect(60786)).body.toString()).toBe("hi");
  expect(fabric.violations).toEqual([]);
});
