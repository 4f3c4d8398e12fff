import { once } from "node:events";
import http2 from "node:http2";
import net from "node:net";
import { expect, test } from "vitest";
import {
  boundSession,
  defaultConnectionBounds,
  type ConnectionBounds,
} from "../../server/src/api/connection-bounds.ts";
import { openUserPlane } from "../../server/src/api/user-plane.ts";
import { createTcpProxy } from "../support/tcp-proxy.ts";

/** A user port whose pages but `/` are answered when `answer` is called; requests to `/conversation` may go on beside their answers. */
async function openPort(bounds: Partial<ConnectionBounds>) {
  const { promise, resolve } = Promise.withResolvers<void>();
  const plane = await openUserPlane({
    listen: { host: "127.0.0.1", port: 0 },
    tls: undefined,
    routes: () => undefined,
    interceptors: [],
    hooks: (_request, response) => void response.end(),
    pages: async ({ path }) => {
      if (path !== "/") await promise;
      return { status: 200, type: "text/plain", body: "ok" };
    },
    plain: async () => false,
    trustedProxies: [],
    bounds,
    conversations: new Set(["/conversation"]),
  });
  const { host, port } = plane.address;
  return {
    host,
    port,
    connect: (at = port) => http2.connect(`http://${host}:${at}`).on("error", () => undefined),
    answer: resolve,
    [Symbol.asyncDispose]: () => plane.close(0),
  };
}

test("a caller that never finishes its headers is cut off", { timeout: 10_000 }, async () => {
  await using port = await openPort({ header_ms: 300 });
  const socket = net.connect(port.port, port.host);
  socket.write("GET / HTTP/1.1\r\nhost: localhost\r\n");

  const [answer] = (await once(socket, "data")) as [Buffer];

  expect(answer.toString()).toContain("408 Request Timeout");
  await once(socket, "close");
});

test("a connection of HTTP/1.1 on which nothing is asked any more is closed", async () => {
  await using port = await openPort({ idle_ms: 200 });
  const socket = net.connect(port.port, port.host);
  socket.write("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n");

  const [answer] = (await once(socket, "data")) as [Buffer];
  await once(socket, "end");

  expect(answer.toString()).toContain("200 OK");
  socket.destroy();
});

test("an idle connection of HTTP/2 is closed, and one with an open stream outlives it", async () => {
  await using port = await openPort({ idle_ms: 300, ping_ms: 100 });
  const busy = port.connect();
  const slow = busy.request({ ":path": "/slow" });
  const idle = port.connect();
  await once(idle.request({ ":path": "/" }).resume(), "end");
  const unused = port.connect();

  await Promise.all([once(idle, "close"), once(unused, "close")]);
  port.answer();

  expect((await once(slow, "response"))[0]).toMatchObject({ ":status": 200 });
  slow.resume();
  await once(busy, "close");
});

test("a connection of HTTP/2 whose other side is gone is cut, also with an open stream", async () => {
  const server = http2.createServer(() => undefined);
  const accepted = once(server, "session") as Promise<[http2.ServerHttp2Session]>;
  await once(server.listen(0, "127.0.0.1"), "listening");
  await using proxy = await createTcpProxy(`127.0.0.1:${(server.address() as net.AddressInfo).port}`);
  const client = http2.connect(`http://${proxy.address}`).on("error", () => undefined);
  client.request({ ":path": "/" }).on("error", () => undefined);
  const [session] = await accepted;
  boundSession(session, { ...defaultConnectionBounds, ping_ms: 100 }, new Set());
  const pings = once(client, "ping");
  await once(session, "stream");
  await pings;

  proxy.blackhole();

  await once(session, "close");
  client.destroy();
  server.close();
});

test("a request of HTTP/2 that never ends is cut off, and its connection goes on", async () => {
  await using port = await openPort({ header_ms: 200, request_ms: 200 });
  const client = port.connect();
  const stream = client.request({ ":path": "/slow", ":method": "GET" }, { endStream: false });
  stream.on("error", () => undefined);

  await once(stream, "close");

  const next = client.request({ ":path": "/" });
  expect((await once(next, "response"))[0]).toMatchObject({ ":status": 200 });
  client.destroy();
});

test("a request that goes on beside its answer is not cut off, until it is answered to the end", async () => {
  await using port = await openPort({ header_ms: 200, request_ms: 200 });
  const client = port.connect();
  const open = (path: string) => {
    const stream = client.request({ ":path": path, ":method": "GET" }, { endStream: false });
    return stream.on("error", () => undefined);
  };
  const conversation = open("/conversation");
  const cut = open("/slow");

  await once(cut, "close");
  expect(conversation.closed).toBe(false);
  port.answer();
  conversation.resume();

  expect((await once(conversation, "response"))[0]).toMatchObject({ ":status": 200 });
  client.destroy();
});
