import { once } from "node:events";
import http2 from "node:http2";
import net from "node:net";
import { expect, test } from "vitest";
import { createWorld, type World } from "../support/world.ts";

const path = "/agyn.runners.v1.RunnersService/StartEnrollment";

/** The status of a request with this Host header, over HTTP/1.1 on the user port. */
async function statusFor(world: World, host: string): Promise<number> {
  const { port } = world.server.userAddress;
  const socket = net.connect(port, "127.0.0.1");
  const head = `POST ${path} HTTP/1.1\r\nhost: ${host}\r\ncontent-type: application/json\r\ncontent-length: 2\r\n`;
  socket.write(`${head}connection: close\r\n\r\n{}`);
  const [answer] = (await once(socket, "data", { signal: AbortSignal.timeout(5000) })) as [Buffer];
  socket.destroy();
  return Number(answer.toString().split(" ")[1]);
}

/** The status of a request with this :authority, over HTTP/2 on the user port. */
async function statusForAuthority(world: World, authority: string): Promise<number> {
  const session = http2.connect(world.server.gateway);
  const headers = { ":method": "POST", ":path": path, ":authority": authority, "content-type": "application/json" };
  const stream = session.request(headers);
  stream.end("{}");
  const [answer] = await once(stream, "response", { signal: AbortSignal.timeout(5000) });
  session.destroy();
  return Number((answer as http2.IncomingHttpHeaders)[":status"]);
}

test("bad-18: a host that is none is refused, and the server goes on", async () => {
  await using world = await createWorld();
  for (const host of ["a b[:99999", "[::", "a:99999", ""]) expect(await statusFor(world, host)).toBe(400);
  for (const authority of ["[::", "a:99999"]) expect(await statusForAuthority(world, authority)).toBe(400);
  expect((await world.admin.runners.listRunners({})).runners).toEqual([]);
});
