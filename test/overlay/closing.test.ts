import http2 from "node:http2";
import { once } from "node:events";
import { expect, test } from "vitest";
import { createMtlsOverlay } from "../../overlay/mtls.ts";
import { openSecureSocket } from "../../overlay/secure-client.ts";
import { openSecureServer } from "../../overlay/secure-server.ts";
import { createTcpProxy } from "../support/tcp-proxy.ts";
import { controlPlaneCredentials, newAuthority, runnerCredentials } from "./world.ts";

const anyPort = { host: "127.0.0.1", port: 0 };

/** A server, and a client whose every byte goes through a proxy. */
async function openConnected() {
  const authority = await newAuthority();
  const server = openSecureServer({
    ...(await controlPlaneCredentials(authority)),
    onRequest: (request, response) => void request.pipe(response),
  });
  const overlay = createMtlsOverlay({ services: { plane: anyPort } });
  const listener = await overlay.listen("plane", (connection, from) => server.accept(connection, from));
  const proxy = await createTcpProxy(`127.0.0.1:${listener.address.port}`);
  const dial = (signal: AbortSignal) => overlay.dial({ ...anyPort, port: proxy.port }, { signal });
  const options = { ...(await runnerCredentials(authority)), signal: AbortSignal.timeout(5000) };
  const socket = await openSecureSocket(dial, options);
  const client = http2.connect("https://control-plane", { createConnection: () => socket });
  client.on("error", () => undefined);
  const request = client.request({ ":method": "POST", ":path": "/" }, { endStream: false });
  request.on("error", () => undefined);
  request.write("open");
  await once(request, "data");
  return { server, listener, proxy, client };
}

test("a server whose client's link went silent closes within its grace, and its listener with it", async () => {
  const { server, listener, proxy, client } = await openConnected();
  proxy.blackhole();

  await Promise.all([server.close({ grace_ms: 100 }), listener.close()]);

  expect([...server.sessions()]).toEqual([]);
  client.destroy();
  await proxy.close();
});

test("a client that was disconnected and whose link went silent holds no closing up", async () => {
  const { server, listener, proxy, client } = await openConnected();
  proxy.blackhole();
  for (const session of server.sessions()) session.end("the identity was revoked");

  await Promise.all([server.close({ grace_ms: 100 }), listener.close()]);

  client.destroy();
  await proxy.close();
});

test("a client that lets its side of an ended connection open holds no closing up", async () => {
  const { server, listener, proxy, client } = await openConnected();
  const [session] = server.sessions();
  proxy.pause();
  const closing = server.close({ grace_ms: 100 });
  session!.end("the identity was revoked");

  await Promise.all([closing, listener.close()]);

  client.destroy();
  await proxy.close();
});
