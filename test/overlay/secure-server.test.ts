import { once } from "node:events";
import http2 from "node:http2";
import tls from "node:tls";
import { afterEach, expect, test } from "vitest";
import { secureClientSocket } from "../../overlay/secure-client.ts";
import { lastWords, roundTrip, until } from "./http2-client.ts";
import { createMemoryOverlay } from "./memory-overlay.ts";
import { hour_ms, openSecureWorld, runnerCredentials, type SecureWorld, type WorldOptions } from "./world.ts";

let world: SecureWorld;
afterEach(() => world.close());
const open = async (options?: WorldOptions) => (world = await openSecureWorld(createMemoryOverlay(), options));

test("bad-08: a TLS session is not resumed", async () => {
  await open();
  const { keyPem, chainPem, rootPem } = await runnerCredentials(world.authority);
  const connect = async (session?: Buffer) => {
    const shown = {
      key: keyPem,
      cert: chainPem,
      ca: rootPem,
      checkServerIdentity: () => undefined,
      ALPNProtocols: ["h2"],
    };
    const socket = tls.connect({ socket: await world.dial(), ...shown, ...(session === undefined ? {} : { session }) });
    const tickets: Buffer[] = [];
    socket.on("session", (ticket) => tickets.push(ticket)).on("error", () => {});
    await once(socket, "secureConnect");
    const client = http2.connect("https://x", { createConnection: () => socket });
    await roundTrip(client, "hello");
    client.destroy();
    return { reused: socket.isSessionReused(), ticket: tickets.at(-1) ?? socket.getSession() };
  };

  const first = await connect();
  expect((await connect(first.ticket)).reused).toBe(false);
});

test("a client that drips bytes is cut off at the handshake deadline", async () => {
  await open({ limits: { handshakeTimeout_ms: 200 } });
  const connection = await world.dial();
  connection.on("error", () => {}).resume();
  const endlessHello = [0x16, 0x03, 0x01, 0x40, 0x00, 0x01, 0x00, 0x3f, 0xf0, 0x03, 0x03];
  const dripping = setInterval(() => connection.write(Buffer.from([endlessHello.shift() ?? 0])), 5);
  await until(() => connection.destroyed, "the connection is cut off");
  clearInterval(dripping);
  expect(world.refused.map(({ reason }) => reason)).toContain("timeout");
});

test("handshakes above the limit are turned away and those under way go on", async () => {
  await open({ limits: { handshakes: 1 } });
  const first = await world.dial();
  const second = await world.dial();
  await until(() => second.destroyed, "the second is turned away");
  expect(first.destroyed).toBe(false);
  expect(world.refused.map(({ reason }) => reason)).toEqual(["exhausted"]);

  first.destroy();
  await until(() => world.refused.length === 2, "the first is gone");
  expect((await roundTrip(await world.connect(), "room again")).toString()).toBe("room again");
});

test("connections above the limit are turned away", async () => {
  await open({ limits: { connections: 1 } });
  await roundTrip(await world.connect(), "hello");
  await expect(world.connect()).rejects.toMatchObject({ reason: "broken" });
  expect(world.refused.map(({ message }) => message)).toEqual(["1 connections are open already"]);
});

test("a client without a certificate is refused before its request is read", async () => {
  let requests = 0;
  await open({ onRequest: () => requests++ });
  const socket = tls.connect({
    socket: await world.dial(),
    ca: world.authority.trustBundle,
    checkServerIdentity: () => undefined,
    ALPNProtocols: ["h2"],
  });
  socket.on("error", () => {});
  const client = http2.connect("https://x", { createConnection: () => socket });
  client.on("error", () => {});
  await expect(Promise.all([roundTrip(client, "hello"), roundTrip(client, "hello")])).rejects.toThrow();
  await until(() => world.refused.length === 1, "the refusal is reported");
  expect(world.refused[0]?.message).toBe("the client showed no certificate");
  expect(requests).toBe(0);
});

test("a peer whose revocation cannot be looked up is refused", async () => {
  const refuse = () => {
    throw new Error("the database is away");
  };
  await open({ refuse });
  expect(await lastWords(await world.connect())).toBe("whether the certificate is revoked cannot be told now");
  expect(world.refused.map(({ cause }) => cause)).toEqual([new Error("the database is away")]);
});

test("a client that speaks TLS 1.2 is refused", async () => {
  await open();
  const { keyPem, chainPem, rootPem } = await runnerCredentials(world.authority);
  const socket = tls.connect({
    socket: await world.dial(),
    key: keyPem,
    cert: chainPem,
    ca: rootPem,
    maxVersion: "TLSv1.2",
  });
  const [error] = await once(socket, "error").catch((cause: unknown) => [cause]);
  expect(String(error)).toMatch(/version/);
  await until(() => world.refused.length === 1, "the refusal is reported");
});

test("a client that does not speak TLS is refused", async () => {
  await open();
  const connection = await world.dial();
  connection.on("error", () => {}).resume();
  connection.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  await until(() => connection.destroyed, "the connection is closed");
  expect(world.refused.map(({ reason }) => reason)).toEqual(["broken"]);
});

test("a session ends when its certificate expires", async () => {
  await open();
  const now = new Date(Date.now() - hour_ms);
  const credentials = await runnerCredentials(world.authority, { now, ttl_ms: hour_ms + 3000 });
  const client = await world.connect(credentials);
  expect((await roundTrip(client, "hello")).toString()).toBe("hello");
  expect(await lastWords(client)).toBe("the certificate expired");
});

test("an expired certificate is told so", async () => {
  await open();
  const now = new Date(Date.now() - hour_ms);
  const client = await world.connect(await runnerCredentials(world.authority, { now, ttl_ms: 1000 }));
  expect(await lastWords(client)).toMatch(/CERT_HAS_EXPIRED/);
});

test("a session on which nothing moves is closed", async () => {
  await open({ limits: { idleTimeout_ms: 100 } });
  expect(await lastWords(await world.connect())).toBe("nothing moved for 100 ms");
});

test("closing lets a request in progress finish within the grace", async () => {
  const arrived = Promise.withResolvers<void>();
  const release = Promise.withResolvers<void>();
  await open({
    onRequest: (request, response) => {
      request.resume();
      arrived.resolve();
      void release.promise.then(() => response.end("done"));
    },
  });
  const answer = roundTrip(await world.connect(), "work");
  await arrived.promise;
  const closed = world.server.close({ grace_ms: 5000 });
  release.resolve();
  expect((await answer).toString()).toBe("done");
  await closed;
});

test("after its certificate was replaced the server shows the new one", async () => {
  await open();
  const leaf = await world.authority.issueControlPlaneLeaf({ now: new Date(), ttl_ms: hour_ms });
  const keyPem = leaf.key.export({ format: "pem", type: "pkcs8" }).toString();
  world.server.replaceCertificate({ keyPem, chainPem: leaf.chainPem });

  const socket = secureClientSocket(await world.dial(), await runnerCredentials(world.authority));
  await once(socket, "secureConnect");
  expect(socket.getPeerX509Certificate()?.serialNumber.toLowerCase()).toBe(leaf.serial);
  socket.destroy();
});

test("bad-18: a header list over the bound is refused and the connection serves on", async () => {
  await open();
  const client = await world.connect();
  const stream = client.request({ ":path": "/", "x-large": "a".repeat(32_768) });
  stream.on("error", () => {});
  await once(stream, "close");
  expect((await roundTrip(await world.connect(), "still here")).toString()).toBe("still here");
});

test("bad-18: a flood of resets ends the connection, not the server", async () => {
  await open({ onRequest: () => {} });
  const client = await world.connect();
  const flood = () => {
    if (client.destroyed) return;
    for (let count = 0; count < 50; count++) {
      client
        .request({ ":path": "/" })
        .on("error", () => {})
        .close(http2.constants.NGHTTP2_CANCEL);
    }
    setImmediate(flood);
  };
  flood();
  await until(() => client.destroyed, "the connection is ended", 8000);
  await until(() => [...world.server.sessions()].length === 0, "the server dropped it");
}, 10_000);
