import { once } from "node:events";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, onTestFinished, test, vi } from "vitest";
import { createOpenZitiNativeOverlay } from "../../../overlay/openziti-native.ts";
import { loadOpenZitiSdk } from "../../../overlay/openziti-sdk.ts";
import type { Credential } from "../../../overlay/openziti/credential.ts";
import type { OpenZitiEndpoint } from "../../../overlay/openziti/openziti.ts";
import type { Overlay } from "../../../overlay/overlay.ts";
import { createTcpProxy } from "../../support/tcp-proxy.ts";
import { overlayContract } from "../contract.ts";
import { textOf, until } from "../http2-client.ts";
import { openRealNetwork, openZitiWorld, type ZitiWorld } from "./world.ts";

// The real SDK where one is named, otherwise a module with its surface over our own client.
const double = fileURLToPath(new URL("../../support/openziti-addon.ts", import.meta.url));
const sdk = await loadOpenZitiSdk(process.env["AGYN_TEST_ZITI_SDK"] ?? double);
const network = openRealNetwork(process.env) ?? (await openZitiWorld({ routers: ["near", "far"] }));
afterAll(() => network[Symbol.asyncDispose]());

/** Dials with the SDK what our own client hosts. */
function create(): Overlay<OpenZitiEndpoint> {
  const host = network.overlay();
  const dialer = createOpenZitiNativeOverlay({
    sdk,
    controller: network.controller,
    credential: () => network.credential,
  });
  return {
    dial: (endpoint, options) => dialer.dial(endpoint, options),
    listen: (service, onConnection) => host.listen(service, onConnection),
    close: async () => void (await Promise.all([dialer.close(), host.close()])),
  };
}

overlayContract("openziti-native", {
  create,
  nowhere: { service: "nowhere" },
  carried: network.routers && (async () => ({ overlay: create(), ...network.routers })),
});

test("nothing in all this was against the protocol", () => {
  expect(network.fabric?.violations ?? []).toEqual([]);
});

/** A world whose service says "hello", and a dialer of it. */
async function openGreeting() {
  const world = await openZitiWorld();
  const chosen: { credential: Credential } = { credential: world.credential };
  const dialer = createOpenZitiNativeOverlay({
    sdk,
    controller: world.controller,
    credential: () => chosen.credential,
  });
  onTestFinished(async () => {
    await dialer.close();
    await world[Symbol.asyncDispose]();
  });
  await world.overlay().listen("control-plane", (connection) => void connection.write("hello"));
  const greet = async () => {
    const connection = await dialer.dial({ service: "control-plane" });
    connection.on("error", () => {});
    onTestFinished(() => void connection.destroy());
    expect(String(await new Promise((resolve) => connection.once("data", resolve)))).toBe("hello");
    connection.resume();
    return connection;
  };
  return { world, dialer, greet, chosen };
}

/** Of those that log in with the SDK; the host is one more. */
const logins = ({ fabric }: ZitiWorld) => fabric.model.apiSessions.all().length;

test("a package that is not there, too old, or without its binary is named, with what to do", async () => {
  const directory = await mkdtemp(join(tmpdir(), "agyn-sdk-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  const install = async (name: string, text: string) => {
    await mkdir(join(directory, name));
    await writeFile(join(directory, name, "index.js"), text);
    return join(directory, name);
  };
  const old = await install("old", "exports.init = exports.dial = exports.ziti_shutdown = () => {};");
  const bare = await install("bare", "require('./build/ziti_sdk_nodejs.node');");
  for (const [module, message] of [
    [undefined, /ziti-sdk-nodejs is not installed: install it where agyn is \(npm install @openziti/],
    [join(directory, "nowhere"), /nowhere is not installed/],
    [old, /old has no function connect: it is too old/],
    [bare, /bare cannot be loaded: Cannot find module .*ziti_sdk_nodejs.node/],
  ] as const)
    await expect(loadOpenZitiSdk(module)).rejects.toMatchObject({
      reason: "not_installed",
      message: expect.stringMatching(message),
    });
});

test("the key that the SDK reads from a file is not left on disk", async () => {
  const directory = await mkdtemp(join(tmpdir(), "agyn-sdk-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  vi.stubEnv("TMPDIR", directory);
  onTestFinished(() => void vi.unstubAllEnvs());
  const { greet } = await openGreeting();
  await greet();
  expect(await readdir(directory)).toEqual([]);
});

test("dials share one login, which ends when the overlay is closed and the last connection is gone", async () => {
  const { world, dialer, greet } = await openGreeting();
  const connections = await Promise.all([greet(), greet(), greet()]);
  await dialer.close();
  expect(logins(world)).toBe(2);
  await expect(dialer.dial({ service: "control-plane" })).rejects.toMatchObject({ reason: "cancelled" });

  for (const connection of connections) connection.destroy();
  await until(() => world.fabric.counts.clients === 1, "only the host has a channel");
});

test("a renewed certificate cuts nothing, and is logged in with when nothing goes through the old login", async () => {
  const { world, greet, chosen } = await openGreeting();
  const before = await greet();
  const renewed = await addDialer(world);
  chosen.credential = { ...world.credential, ...renewed };
  const beside = await greet();
  expect(before.destroyed).toBe(false);
  expect(logins(world)).toBe(2);

  await Promise.all([before, beside].map((connection) => once(connection.destroy(), "close")));
  await greet();
  expect(world.fabric.model.apiSessions.all().map(({ identityId }) => identityId)).toContain(renewed.id);
});

test("a login that fails since a certificate was renewed is made anew, whatever goes through it", async () => {
  const { world, dialer, greet, chosen } = await openGreeting();
  const service = world.fabric.addService("for-the-renewed");
  const renewed = await addDialer(world);
  world.fabric.permit("Dial", [`@${renewed.id}`], service);
  world.fabric.permit("Bind", ["#all-of-them"], service);
  await world.overlay().listen(service.name, (connection) => void connection.end("hello, renewed one"));
  const before = await greet();

  chosen.credential = { ...world.credential, ...renewed };
  const connection = await dialer.dial({ service: service.name });
  expect(await textOf(connection)).toBe("hello, renewed one");
  await until(() => before.readableEnded, "what went through the failing login is gone");
  connection.destroy();
});

test("a controller that says nothing is given up in time, and logged in to when it is back", async () => {
  const world = await openZitiWorld();
  const proxy = await createTcpProxy(new URL(world.fabric.url).host);
  const dialer = createOpenZitiNativeOverlay({
    sdk,
    controller: `https://${proxy.address}`,
    credential: () => world.credential,
    connectTimeout_ms: 2000,
  });
  onTestFinished(async () => {
    await dialer.close();
    await world[Symbol.asyncDispose]();
    await proxy.close();
  });
  await world.overlay().listen("control-plane", (connection) => void connection.end("hello"));
  proxy.blackhole();
  await expect(dialer.dial({ service: "control-plane" })).rejects.toMatchObject({ reason: "timeout" });

  proxy.restore();
  const connection = await dialer.dial({ service: "control-plane" });
  expect(await textOf(connection)).toBe("hello");
  connection.destroy();
});

test("another network takes the place of the one before", async () => {
  const [one, other] = [await openGreeting(), await openGreeting()];
  const before = await one.greet();
  await other.greet();
  await until(() => before.readableEnded, "what went through the first network is gone");
  await one.greet();
});

/** An identity that may dial, beside the world's own. */
async function addDialer({ fabric }: ZitiWorld) {
  return fabric.addIdentity("renewed", { roleAttributes: ["all-of-them"] });
}
