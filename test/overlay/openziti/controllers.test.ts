import { once } from "node:events";
import type { ServerResponse } from "node:http";
import https from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { beforeEach, expect, onTestFinished, test } from "vitest";
import { createControllerList } from "../../../overlay/openziti/controller-list.ts";
import { openManagement } from "../../../overlay/openziti/management.ts";
import { createController } from "../../../overlay/openziti/rest.ts";
import { createCertificate, type Certificate } from "../../support/certificate.ts";
import { createTcpProxy, type TcpProxy } from "../../support/tcp-proxy.ts";
import { until } from "../http2-client.ts";
import { openZitiWorld } from "./world.ts";

let certificate: Certificate;
beforeEach(async () => {
  certificate = await createCertificate("127.0.0.1");
});

const signal = new AbortController().signal;
/** What is waited for a silent controller, and much for a busy machine. */
const bound_ms = 30_000;

/** A network with two controllers, and a way to harm the first. */
async function openControllers() {
  const world = await openZitiWorld();
  const proxy = await createTcpProxy(new URL(world.fabric.url).host);
  onTestFinished(async () => {
    await world[Symbol.asyncDispose]();
    await proxy.close();
  });
  return { world, proxy, urls: [`https://${proxy.address}`, world.fabric.url] };
}

const troubles: readonly [string, (proxy: TcpProxy) => void][] = [
  ["says nothing", (proxy) => proxy.blackhole()],
  ["refuses", (proxy) => proxy.cut()],
];

test.each(troubles)(
  "where the first controller %s a runner dials by the next, and later logins ask that one",
  async (_, harm) => {
    const { world, proxy, urls } = await openControllers();
    let { credential } = world;
    const overlay = world.overlay({ controller: urls, credential: () => credential });
    harm(proxy);
    const start_ms = performance.now();
    await overlay.listen("control-plane", (connection) => connection.destroy());
    (await overlay.dial({ service: "control-plane" })).destroy();
    expect(performance.now() - start_ms).toBeLessThan(bound_ms);

    credential = { ...credential, certPem: `${credential.certPem}\n` };
    const asked = proxy.open;
    await overlay.services();
    expect(proxy.open).toBe(asked);
  },
);

test.each(troubles)("where the first controller %s a server manages the network by the next", async (_, harm) => {
  const { world, proxy, urls } = await openControllers();
  const { caPem, admin, model } = world.fabric;
  const management = openManagement(urls, caPem, { kind: "certificate", ...admin });
  onTestFinished(() => management.close());
  harm(proxy);
  const start_ms = performance.now();
  await management.create("services", { name: "made", encryptionRequired: true }, signal);
  expect(performance.now() - start_ms).toBeLessThan(bound_ms);
  expect(model.services.find(({ name }) => name === "made")).toBeDefined();
});

test("who gives up while an administrator logs in leaves the login to the others", async () => {
  const { world } = await openControllers();
  const { url, caPem, admin } = world.fabric;
  const management = openManagement(url, caPem, { kind: "certificate", ...admin });
  onTestFinished(() => management.close());
  const giveUp = new AbortController();
  const [given, kept] = [giveUp.signal, signal].map((one) => management.list("services", "true", one));
  giveUp.abort(new Error("given up"));
  await expect(given).rejects.toThrow("given up");
  expect(await kept).toMatchObject([{ name: "control-plane" }]);
});

test("more hosts than a controller lists unasked are all counted", async () => {
  await using world = await openZitiWorld({ routers: ["a", "b", "c"] });
  const { url, caPem, admin, model } = world.fabric;
  const management = openManagement(url, caPem, { kind: "certificate", ...admin });
  for (let index = 0; index < 4; index++) await world.overlay().listen("control-plane", (end) => end.destroy());
  await until(() => model.terminators.all().length === 12, "four hosts are there, each at three routers");
  const [service] = model.services.all();
  expect(await management.countTerminators(service!.id, signal)).toBe(12);
  management.close();
});

test("a controller that stops answering gives way for what may be asked twice at once, and for the rest from the next call on", async () => {
  const [silent, other] = [await openServer(() => {}), await openServer(({ response }) => response.end("here"))];
  const controller = await controllerOf(silent, other);
  const start_ms = performance.now();
  expect(await controller.call({ method: "GET", path: "/" }, signal)).toMatchObject({ text: "here" });
  expect(performance.now() - start_ms).toBeLessThan(bound_ms);
  expect(await controller.call({ method: "POST", path: "/" }, signal)).toMatchObject({ text: "here" });
});

test.each([
  ["GET", 200],
  ["POST", 503],
] as const)("what says that its controller is away gives way, and a %s is answered by %i", async (method, status) => {
  const away = await openServer(({ response }) => response.writeHead(503).end());
  const controller = await controllerOf(away, await openServer(({ response }) => response.end()));
  expect(await controller.call({ method, path: "/" }, signal)).toMatchObject({ status });
  expect(await controller.call({ method, path: "/" }, signal)).toMatchObject({ status: 200 });
});

test("who gives up is told so, and the controller is asked again next time", async () => {
  const silent = await openServer(() => {});
  const controller = await controllerOf(silent, await openServer(({ response }) => response.end()));
  const giveUp = new AbortController();
  const given = controller.call({ method: "GET", path: "/" }, giveUp.signal);
  giveUp.abort(new Error("given up"));
  await expect(given).rejects.toThrow("given up");
  expect(controller.origin).toBe(silent.url);
});

test.each(["GET", "PATCH", "DELETE"] as const)(
  "a %s that meets a kept connection as it is closed goes over another",
  async (method) => {
    const { controller, calls } = await meetClosing();
    expect(await controller.call({ method, path: "/" }, signal)).toMatchObject({ text: "here" });
    expect(calls()).toBe(3);
  },
);

test("a POST that meets a kept connection as it is closed may have been heard, and is said but once", async () => {
  const { controller, calls } = await meetClosing();
  const called = controller.call({ method: "POST", path: "/" }, signal);
  await expect(called).rejects.toMatchObject({ reason: "broken" });
  expect(calls()).toBe(2);
});

/** A controller that has answered once, and closes that connection when it is asked there again. */
async function meetClosing() {
  const served = new WeakSet<Socket>();
  let calls = 0;
  const server = await openServer(({ response, socket }) => {
    calls++;
    if (served.has(socket)) return socket.destroy();
    served.add(socket);
    return response.end("here");
  });
  const controller = await controllerOf(server);
  await controller.call({ method: "GET", path: "/" }, signal);
  return { controller, calls: () => calls };
}

type TestServer = { readonly url: string };

async function controllerOf(...servers: TestServer[]) {
  const list = createControllerList(servers.map(({ url }) => url));
  const controller = createController(list, { caPem: certificate.cert });
  onTestFinished(() => controller.close());
  return controller;
}

async function openServer(
  answer: (asked: { response: ServerResponse; socket: Socket }) => unknown,
): Promise<TestServer> {
  const server = https.createServer(certificate, ({ socket }, response) => void answer({ response, socket }));
  await once(server.listen(0, "127.0.0.1"), "listening");
  onTestFinished(async () => {
    server.closeAllConnections();
    await new Promise((done) => server.close(done));
  });
  return { url: `https://127.0.0.1:${(server.address() as AddressInfo).port}` };
}
