import { once } from "node:events";
import net from "node:net";
import { afterEach, expect, test } from "vitest";
import { createMtlsOverlay } from "../../overlay/mtls.ts";
import { proxyFor } from "../../overlay/proxy.ts";
import { openHttpProxy } from "./http-proxy.ts";
import { roundTrip } from "./http2-client.ts";
import { openSecureWorld } from "./world.ts";

const closers: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

const services = { "control-plane": { host: "127.0.0.1", port: 0 } };
const endpoint = { host: "control.example", port: 443 };

async function worldBehind(httpsProxy: string, noProxy = "") {
  const world = await openSecureWorld(
    createMtlsOverlay({ services, proxy: { httpsProxy, noProxy }, connectTimeout_ms: 500 }),
  );
  closers.push(() => world.close());
  return world;
}

test("requests pass through a proxy, with its credentials shown to it alone", async () => {
  const proxy = await openHttpProxy();
  closers.push(proxy.close);
  const world = await worldBehind(proxy.url.replace("http://", "http://user:p%40ss@"));
  expect((await roundTrip(await world.connect(), "hello")).toString()).toBe("hello");
  const authorization = `Basic ${Buffer.from("user:p@ss").toString("base64")}`;
  expect(proxy.asked).toEqual([{ target: expect.stringMatching(/^127\.0\.0\.1:\d+$/), authorization }]);
});

test("a host that is exempt is reached directly", async () => {
  const proxy = await openHttpProxy({ status: 403 });
  closers.push(proxy.close);
  const world = await worldBehind(proxy.url, "example.com, 127.0.0.1");
  expect((await roundTrip(await world.connect(), "hello")).toString()).toBe("hello");
  expect(proxy.asked).toEqual([]);
});

test("a refusing proxy is named with its answer, and not with its password", async () => {
  const proxy = await openHttpProxy({ status: 407 });
  closers.push(proxy.close);
  const world = await worldBehind(proxy.url.replace("http://", "http://user:secret@"));
  const message = `proxy ${new URL(proxy.url).host} answered 407`;
  await expect(world.connect()).rejects.toMatchObject({ reason: "proxy_refused", message });
});

const strange: readonly [string, (socket: net.Socket) => unknown, string, RegExp][] = [
  ["does not speak HTTP", (socket) => socket.end("SSH-2.0-x\r\n\r\n"), "proxy_refused", /does not speak HTTP/],
  ["sends endless headers", (socket) => socket.write("x".repeat(20_000)), "proxy_refused", /more than 8192 bytes/],
  ["hangs up", (socket) => socket.end(), "proxy_refused", /closed the connection/],
  ["says nothing", () => undefined, "timeout", /took longer than 500 ms/],
];
test.each(strange)("a proxy that %s is refused", async (_, behave, reason, message) => {
  const sockets: net.Socket[] = [];
  const server = net.createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => {}).resume();
    behave(socket);
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  closers.push(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((done) => server.close(done));
  });
  const world = await worldBehind(`http://127.0.0.1:${(server.address() as net.AddressInfo).port}`);
  await expect(world.dial()).rejects.toMatchObject({ reason, message: expect.stringMatching(message) });
});

test.each([
  ["", false],
  ["other.example", false],
  ["trol.example", false],
  ["control.example:80", false],
  ["control.example", true],
  ["CONTROL.example", true],
  ["example", true],
  [".example", true],
  ["*.example", true],
  ["a, control.example:443", true],
  ["*", true],
])("with NO_PROXY %j the endpoint being exempt is %j", (noProxy, exempt) => {
  const proxy = proxyFor(endpoint, { httpsProxy: "http://proxy:3128", noProxy });
  expect(proxy === undefined).toBe(exempt);
});

test.each(["proxy:3128", "socks5://proxy", "not a url"])(
  "a proxy setting %j is refused without being repeated",
  (httpsProxy) => {
    expect(() => proxyFor(endpoint, { httpsProxy })).toThrow("the proxy setting is not an http:// or https:// URL");
  },
);

test("nobody listening is told as such, with the place", async () => {
  const overlay = createMtlsOverlay({ services });
  const listener = await overlay.listen("control-plane", (connection) => connection.destroy());
  await listener.close();
  const message = expect.stringContaining(`dialing 127.0.0.1:${listener.address.port} failed`);
  await expect(overlay.dial(listener.address)).rejects.toMatchObject({ reason: "unreachable", message });
});

test("dialing is given up by its signal", async () => {
  const overlay = createMtlsOverlay();
  const attempt = overlay.dial({ host: "127.0.0.1", port: 9 }, { signal: AbortSignal.abort() });
  await expect(attempt).rejects.toMatchObject({ reason: "cancelled" });
});

test("an address in use is named", async () => {
  const overlay = createMtlsOverlay({ services });
  closers.push(() => overlay.close());
  const { address } = await overlay.listen("control-plane", () => {});
  const second = createMtlsOverlay({ services: { "control-plane": address } });
  const message = expect.stringMatching(/cannot listen on 127\.0\.0\.1:\d+: .*EADDRINUSE/);
  await expect(second.listen("control-plane", () => {})).rejects.toMatchObject({
    reason: "address_unavailable",
    message,
  });
});
