import { once } from "node:events";
import net from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { until } from "../support/world.ts";
import { createTcpProxy } from "../support/tcp-proxy.ts";

test("what is written while the proxy pauses arrives after it, in order", async () => {
  const { proxy, dial } = await openEcho();
  const client = await dial();

  proxy.pause();
  client.socket.write("one ");
  client.socket.write("two");
  proxy.restore();

  await until("the echo is back", () => client.text() === "one two");
});

test("a blackhole swallows bytes and the end, and what lost some is reset afterwards", async () => {
  const { proxy, dial, ended } = await openEcho();
  const client = await dial();
  client.socket.write("before");
  await until("the echo is back", () => client.text() === "before");

  proxy.blackhole();
  client.socket.end("lost");
  const late = await dial();
  late.socket.write("hello?");
  await until("the client has sent all", () => client.socket.writableFinished && late.socket.bytesWritten > 0);
  expect(ended()).toBe(0);
  proxy.restore();

  await Promise.all([client.closed, late.closed]);
  expect([client.text(), late.text()]).toEqual(["before", ""]);
});

test("a cut resets what is open and refuses what comes until it is restored", async () => {
  const { proxy, dial } = await openEcho();
  const client = await dial();
  client.socket.write("x");
  await until("the echo is back", () => client.text() === "x");

  proxy.cut();
  await client.closed;
  await (
    await dial()
  ).closed;
  proxy.restore();

  const again = await dial();
  again.socket.write("y");
  await until("the echo is back", () => again.text() === "y");
});

async function openEcho() {
  let ended = 0;
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => {}).on("end", () => ended++);
    socket.pipe(socket);
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const proxy = await createTcpProxy(`127.0.0.1:${(server.address() as net.AddressInfo).port}`);
  onTestFinished(async () => {
    await proxy.close();
    await new Promise((done) => server.close(done));
  });
  const dial = async () => {
    const socket = net.connect({ host: "127.0.0.1", port: proxy.port });
    let text = "";
    socket.on("data", (bytes) => (text += bytes.toString())).on("error", () => {});
    const closed = new Promise((done) => socket.once("close", done));
    await Promise.race([new Promise((done) => socket.once("connect", done)), closed]);
    return { socket, closed, text: () => text };
  };
  return { proxy, dial, ended: () => ended };
}
