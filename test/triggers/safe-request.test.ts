import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import { createServer as createTcpServer, type AddressInfo } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { isPublicAddress, sendRequest } from "../../server/src/outgoing/safe-request.ts";

async function open(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
}

const post = (url: string, allowPrivate: boolean, timeout_ms = 5000) =>
  sendRequest({ method: "POST", url, headers: {}, body: "{}" }, { allowPrivate, timeout_ms });

test.each(["1.1.1.1", "8.8.8.8", "2606:4700::1111"])("%s is of the public network", (address) => {
  expect(isPublicAddress(address)).toBe(true);
});

test.each([
  ...["127.0.0.1", "127.8.8.8", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1"],
  ...[
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "fe80::1",
    "fd00::1",
    "ff02::1",
  ],
  ...["64:ff9b::7f00:1", "2002:7f00:1::", "not an address"],
])("bad-54: %s is not of the public network", (address) => {
  expect(isPublicAddress(address)).toBe(false);
});

test.each(["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0x7f000001", "2130706433", "127.1"])(
  "bad-54: nothing is sent to %s",
  async (host) => {
    let count = 0;
    const { port } = new URL(
      await open((_request, response) => {
        count += 1;
        response.end();
      }),
    );
    await expect(post(`http://${host}:${port}/`, false)).rejects.toThrow(/of this machine or of a private network/);
    expect(count).toBe(0);
  },
);

test("bad-54: who names a host is not told to which inner address it leads", async () => {
  await expect(post("http://localhost:1/", false)).rejects.toThrow(/^localhost is an address of this machine/);
});

test("bad-54: a redirect is an answer, and is not followed", async () => {
  let count = 0;
  const inner = await open((_request, response) => {
    count += 1;
    response.end();
  });
  const url = await open((_request, response) => void response.writeHead(302, { location: inner }).end());
  expect(await post(url, true)).toMatchObject({ status: 302 });
  expect(count).toBe(0);
});

test("bad-54: one who never answers, or answers without end, is given up", async () => {
  await expect(post(await open(() => undefined), true, 200)).rejects.toThrow(/aborted/);
  const endless = await open((_request, response) => {
    const more = () => response.write("a".repeat(10_000), (error) => (error ? undefined : more()));
    more();
  });
  await expect(post(endless, true)).rejects.toThrow(/larger than 65536 bytes/);
});

test("a receiver that answers by switching protocols, or with nothing, has not answered", async () => {
  const rude = createTcpServer((socket) => {
    socket.once("data", () =>
      socket.end("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: tcp\r\n\r\n"),
    );
  });
  rude.listen(0, "127.0.0.1");
  await once(rude, "listening");
  onTestFinished(() => void rude.close());
  const { port } = rude.address() as AddressInfo;
  await expect(post(`http://127.0.0.1:${port}/`, true)).rejects.toThrow("closed without an answer");
  const silent = await open((_request, response) => void response.destroy());
  await expect(post(silent, true)).rejects.toThrow("socket hang up");
});
