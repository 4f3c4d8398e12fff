import { once } from "node:events";
import net from "node:net";
import { expect, test } from "vitest";
import { openUserPlane } from "../../server/src/api/user-plane.ts";

test("a caller that never finishes its headers is cut off", { timeout: 10_000 }, async () => {
  const plane = await openUserPlane({
    listen: { host: "127.0.0.1", port: 0 },
    tls: undefined,
    routes: () => undefined,
    interceptors: [],
    pages: async () => undefined,
    plain: async () => false,
    trustedProxies: [],
    headerTimeout_ms: 300,
  });
  const socket = net.connect(plane.address.port, plane.address.host);
  socket.write("GET / HTTP/1.1\r\nhost: localhost\r\n");

  const [answer] = (await once(socket, "data")) as [Buffer];

  expect(answer.toString()).toContain("408 Request Timeout");
  await once(socket, "close");
  await plane.close(0);
});
