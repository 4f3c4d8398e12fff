import net from "node:net";
import { expect, test } from "vitest";
import { createWorld } from "../support/world.ts";

test("a POST whose first byte arrives alone is taken for HTTP/1.1", async () => {
  await using world = await createWorld();
  const { host, port } = world.server.userAddress;
  const socket = net.connect({ host, port, noDelay: true });
  const answer = new Promise<string>((resolve) => socket.once("data", (data) => resolve(data.toString())));
  const path = "/agyn.server.v1.ServerService/GetServer";

  await new Promise<void>((resolve) => socket.write("P", () => setImmediate(resolve)));
  socket.write(`OST ${path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}`);

  expect(await answer).toMatch(/^HTTP\/1\.1 401 /);
  socket.destroy();
});
