import { once } from "node:events";
import type { TLSSocket } from "node:tls";
import { afterEach, expect, test } from "vitest";
import { secureClientSocket } from "../../overlay/secure-client.ts";
import { roundTrip, until } from "./http2-client.ts";
import { createMemoryOverlay } from "./memory-overlay.ts";
import { openSecureWorld, runnerCredentials, type SecureWorld } from "./world.ts";

let world: SecureWorld;
afterEach(() => world.close());

/** One HTTP/2 frame (RFC 9113, 4.1). */
function frame(type: number, flags: number, stream: number, payload: Uint8Array): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

const preface = Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), frame(4, 0, 0, Buffer.alloc(0))]);
const largestIncrement = Buffer.from("7fffffff", "hex");
const emptyHeader = Buffer.from("4001610162", "hex");

/** A runner with a good certificate that speaks raw frames, and reads nothing unless told to. */
async function openRaw(): Promise<TLSSocket> {
  const socket = secureClientSocket(await world.dial(), await runnerCredentials(world.authority));
  socket.on("error", () => {});
  await once(socket, "secureConnect");
  socket.write(preface);
  await until(() => [...world.server.sessions()].length === 1, "the session is there");
  return socket;
}

const floods: readonly [string, Buffer, Buffer][] = [
  ["pings", Buffer.alloc(0), frame(6, 0, 0, Buffer.alloc(8))],
  ["settings", Buffer.alloc(0), frame(4, 0, 0, Buffer.alloc(0))],
  ["window updates beyond the largest window", Buffer.alloc(0), frame(8, 0, 0, largestIncrement)],
  ["header continuations without end", frame(1, 1, 1, emptyHeader), frame(9, 0, 1, Buffer.alloc(4096, emptyHeader))],
  ["frames larger than allowed", Buffer.alloc(0), frame(0, 0, 1, Buffer.alloc(70_000))],
];
test.each(floods)("bad-18: %s end their own connection only", async (_, first, repeated) => {
  world = await openSecureWorld(createMemoryOverlay());
  const socket = await openRaw();
  const [flooding] = world.server.sessions();
  let ended = false;
  void flooding?.closed.then(() => (ended = true));
  const many = Buffer.concat(Array.from({ length: Math.ceil(65_536 / repeated.length) }, () => repeated));
  socket.write(first);
  const flood = setInterval(() => socket.destroyed || socket.write(many), 1);
  await until(() => ended, "the flooding connection is ended", 4000).finally(() => clearInterval(flood));

  expect((await roundTrip(await world.connect(), "still here")).toString()).toBe("still here");
  socket.destroy();
});
