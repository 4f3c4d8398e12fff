import type { Duplex } from "node:stream";
import { afterEach, expect, test } from "vitest";
import type { Settings } from "../../../overlay/openziti/settings.ts";
import { textOf, until } from "../http2-client.ts";
import { openZitiWorld, type ZitiWorld } from "./world.ts";

let world: ZitiWorld;
const ends: Duplex[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) end.destroy();
  await world[Symbol.asyncDispose]();
});

/** Hosts the service; whoever dials it hears its host's name. */
async function host(name = "a host", settings: Partial<Settings> = {}, hosting = {}) {
  const overlay = world.overlay({ settings, hosting: { "control-plane": hosting } });
  const listener = await overlay.listen("control-plane", (connection) => {
    ends.push(connection);
    connection.end(name);
  });
  return { overlay, listener };
}

const terminators = () => world.fabric.model.terminators.all();
const service = { service: "control-plane" };

test("a service is hosted through three routers of four, and through others when these die", async () => {
  world = await openZitiWorld({ routers: ["a", "b", "c", "d"] });
  const { overlay } = await host();
  await until(() => terminators().length === 3, "three routers host it");
  const names = new Map(world.fabric.model.edgeRouters.all().map(({ id, name }) => [id, name]));
  const [first] = terminators();
  await world.fabric.router(names.get(first?.routerId ?? "")).kill();

  await until(() => new Set(terminators().map(({ routerId }) => routerId)).size === 3, "three routers host it again");
  expect(await textOf(await overlay.dial(service))).toBe("a host");
});

test("a router that comes back is dialed through again, and what went through it is broken", async () => {
  world = await openZitiWorld();
  const { overlay } = await host("again");
  const before = await overlay.dial(service);
  await world.fabric.router().kill();
  await until(() => before.closed, "the connection is gone");
  expect(before.errored).toMatchObject({ reason: "broken" });
  await expect(overlay.dial(service)).rejects.toMatchObject({ reason: "unreachable" });

  await world.fabric.router().revive();
  await until(() => world.fabric.counts.listeners === 1, "the service is hosted again");
  expect(await textOf(await overlay.dial(service))).toBe("again");
});

test.each([
  ["refuses a token after its Hello", "refuseTokens"],
  ["has not heard of the authority yet", "refuseAuthorities"],
] as const)("a router that once %s is tried again", async (_, refuse) => {
  world = await openZitiWorld();
  await host();
  world.fabric.router()[refuse](1);
  expect(await textOf(await world.overlay().dial(service))).toBe("a host");
  world.fabric.router()[refuse](1);
  expect(await textOf(await (await host("another")).overlay.dial(service))).toMatch(/host|another/);
});

test("a router that refuses again and again is unauthorized, with its reason", async () => {
  world = await openZitiWorld();
  await host();
  world.fabric.router().refuseTokens(10);
  await expect(world.overlay().dial(service)).rejects.toMatchObject({
    reason: "unauthorized",
    message: expect.stringContaining("after the Hello"),
  });
});

test("the nearest router carries what is hosted and dialed", async () => {
  world = await openZitiWorld({ routers: ["slow", "quick"] });
  world.fabric.router("slow").frames.slow(100);
  const overlay = world.overlay({ settings: { maxBindings: 1 } });
  const [near, far] = await world.connect(overlay);
  ends.push(near, far);
  await until(() => world.fabric.counts.clients === 2, "both routers have a channel");

  await world.fabric.router("slow").kill();
  near.end("still here");
  expect(await textOf(far)).toBe("still here");
});

test("a router that falls silent is left", async () => {
  world = await openZitiWorld();
  const { overlay } = await host("a host", { probeInterval_ms: 50, probeTimeout_ms: 200 });
  const before = await overlay.dial(service);
  const [first] = terminators();
  world.fabric.router().frames.arm("drop", { type: 2, times: 1 });
  await until(() => before.closed, "the connection is gone");
  expect(before.errored).toMatchObject({ reason: "timeout" });
  await until(() => terminators().some(({ id }) => id !== first?.id), "the service is hosted again");
  expect(await textOf(await overlay.dial(service))).toBe("a host");
});

test("a host answers the probes and inspections of its router", async () => {
  world = await openZitiWorld({ times: { inspectAgain_ms: 20, inspectGrace_ms: 100 } });
  await host();
  await world.fabric.router().probe(5000);
  const [terminator] = terminators();
  const end_ms = performance.now() + 300;
  await until(() => performance.now() > end_ms, "unanswered, it would be gone");
  expect(terminators()).toEqual([terminator]);
  expect(world.fabric.violations).toEqual([]);
});

test("one host of several is dialed by its identity, and none by another's", async () => {
  world = await openZitiWorld();
  for (const identity of ["left", "right"]) await host(identity, {}, { identity });
  const dialer = world.overlay();
  for (const identity of ["left", "right", "left"])
    expect(await textOf(await dialer.dial({ ...service, identity }))).toBe(identity);
  await expect(dialer.dial({ ...service, identity: "middle" })).rejects.toMatchObject({ reason: "unreachable" });
});

test("a host that is failed or costs more is asked last", async () => {
  world = await openZitiWorld();
  await host("last resort", {}, { precedence: 2 });
  await host("first", {}, { precedence: 1, cost: 10 });
  for (let turn = 0; turn < 5; turn++) expect(await textOf(await world.overlay().dial(service))).toBe("first");
});

test.each([
  ["is not there", "nowhere", "unreachable", /no service nowhere/],
  ["nobody hosts", "control-plane", "unreachable", /terminator/],
])("a service that %s is unreachable", async (_, name, reason, message) => {
  world = await openZitiWorld();
  const dialing = world.overlay().dial({ service: name });
  await expect(dialing).rejects.toMatchObject({ reason, message: expect.stringMatching(message) });
});

test("a service that may not be hosted is unauthorized, and one without routers unreachable", async () => {
  world = await openZitiWorld();
  world.fabric.permit("Dial", ["#all-of-them"], world.fabric.addService("dial-only"));
  const listening = world.overlay().listen("dial-only", () => {});
  await expect(listening).rejects.toMatchObject({ reason: "unauthorized" });
  expect(world.fabric.model.apiSessions.all()).toHaveLength(1);
  await world.fabric.router().kill();
  await expect(world.overlay().dial(service)).rejects.toMatchObject({ reason: "unreachable" });
});

test("a host that is full refuses, and has room again when one is gone", async () => {
  world = await openZitiWorld();
  const { overlay } = await host("room", { maxConnections: 1 });
  const first = await overlay.dial(service);
  await expect(overlay.dial(service)).rejects.toMatchObject({ message: expect.stringContaining("no room") });
  first.destroy();
  await until(() => ends.every((end) => end.closed), "the host has noticed");
  expect(await textOf(await overlay.dial(service))).toBe("room");
});

test.each(["cut", "malform"] as const)(
  "a frame that is %s costs the channel, and the dial has another",
  async (fault) => {
    world = await openZitiWorld();
    await host();
    world.fabric.router().frames.arm(fault, { type: 60_784 });
    expect(await textOf(await world.overlay().dial(service))).toBe("a host");
  },
);

test("a router that goes before it has answered the Hello has refused nobody", async () => {
  world = await openZitiWorld();
  await host();
  world.fabric.router().frames.arm("cut", { type: 2, times: 2 });
  await expect(world.overlay().dial(service)).rejects.toMatchObject({ reason: "broken" });
});

test("dialing is given up when asked to, and after its time", async () => {
  world = await openZitiWorld();
  await host();
  world.fabric.router().frames.arm("drop", { type: 60_784, times: 2 });
  const aborted = world.overlay().dial(service, { signal: AbortSignal.timeout(300) });
  await expect(aborted).rejects.toMatchObject({ reason: "cancelled" });
  const late = world.overlay({ settings: { connectTimeout_ms: 300 } }).dial(service);
  await expect(late).rejects.toMatchObject({ reason: "timeout" });
});

test("closing the overlay gives up what is being dialed, hosts no more, and leaves open connections", async () => {
  world = await openZitiWorld();
  const overlay = world.overlay();
  const [near, far] = await world.connect(overlay);
  ends.push(near, far);
  await overlay.listen("control-plane", () => {});
  world.fabric.router().frames.arm("drop", { type: 60_784 });
  const dialing = overlay.dial(service);
  const given = expect(dialing).rejects.toMatchObject({ reason: "cancelled" });
  await overlay.close();

  await given;
  await until(() => terminators().length === 0, "nothing is hosted");
  near.end("still here");
  expect(await textOf(far)).toBe("still here");
  await expect(overlay.dial(service)).rejects.toMatchObject({ reason: "cancelled" });
});

test("500 dials at once share one login and one channel", async () => {
  world = await openZitiWorld();
  await host("each");
  const dialer = world.overlay();
  const words = await Promise.all(
    Array.from({ length: 500 }, async () => {
      const connection = await dialer.dial(service);
      ends.push(connection);
      return textOf(connection);
    }),
  );
  expect(new Set(words)).toEqual(new Set(["each"]));
  expect(world.fabric.counts.clients).toBe(2);
  expect(world.fabric.model.apiSessions.all()).toHaveLength(2);
});
