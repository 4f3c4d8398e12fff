import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createFrameReader, type Frame } from "../../support/fabric/router/frames.ts";
import { bindHeaders, connectHeaders, openEdgeWorld, type EdgeWorld } from "./edge.ts";
import { connectRaw, legacyLogin, rawFrame, serviceSession, type RawEdge } from "./raw-client.ts";

let world: EdgeWorld;

beforeEach(async () => {
  world = await openEdgeWorld();
});
afterEach(() => world.fabric.close());

type Headers = Parameters<RawEdge["send"]>[1];
const without = (headers: Headers, id: number): Headers =>
  Object.fromEntries(Object.entries(headers).filter(([key]) => Number(key) !== id));

/** What a client may not say, and what the record then names. */
const faults: [what: string, type: number, headers: Headers, named: string][] = [
  ["a type that no client sends", 60784, {}, "60784"],
  ["a type that nobody knows", 4711, {}, "4711"],
  ["a second Hello", 0, { 1002: "x" }, "wrong time"],
  ["a Connect with a header that it has not", 60783, { ...connectHeaders(), 1021: "x" }, "1021"],
  ["a Connect without a marker", 60783, without(connectHeaders(), 1025), "1025"],
  ["a Connect without a caller", 60783, without(connectHeaders(), 1008), "1008"],
  ["a Connect with a short key", 60783, { ...connectHeaders(), 1003: randomBytes(31) }, "1003"],
  ["a Connect with an id of two bytes", 60783, { ...connectHeaders(), 1000: Buffer.alloc(2) }, "1000"],
  ["a Connect that is numbered", 60783, { ...connectHeaders(), 1001: 1 }, "not numbered 0"],
  ["a Bind without a listener id", 60790, without(bindHeaders(), 1021), "1021"],
  ["a Bind that chooses ids itself", 60790, { ...bindHeaders(), 1012: false }, "connection ids"],
  ["a Bind with a yes of four bytes", 60790, { ...bindHeaders(), 1023: 1 }, "1023"],
  ["Data on a connection that is not", 60786, { 1000: 99, 1001: 0 }, "unknown connection 99"],
  ["Data without a number", 60786, { 1000: 99 }, "1001"],
  ["a StateClosed of a connection that is not", 60785, { 1000: 99 }, "unknown connection 99"],
  ["an answer to nothing", 2, { 1: 4711, 2: true }, "an answer to nothing"],
  ["an UpdateToken with a header", 60803, { 1002: "x" }, "1002"],
];
test.each(faults)("%s ends the connection and is recorded", async (_, type, headers, named) => {
  const { edge } = await world.enter(world.caller);
  edge.send(type, headers, "body");
  await edge.ended;
  expect(world.fabric.violations).toEqual([expect.stringContaining(named)]);
});

const wrongData: [what: string, frames: [Headers, Buffer][], named: string][] = [
  ["Data that begins with a number but 0", [[{ 1000: 7, 1001: 1 }, Buffer.alloc(24)]], "numbered 1, not 0"],
  ["Data that begins without a stream header", [[{ 1000: 7, 1001: 0 }, Buffer.alloc(23)]], "stream header"],
  ["Data of unknown flags", [[{ 1000: 7, 1001: 0, 1010: 64 }, Buffer.alloc(24)]], "flags 64"],
  ["a FIN with bytes", [[{ 1000: 7, 1001: 0, 1010: 1 }, Buffer.alloc(24)]], "a FIN and 24 bytes"],
  [
    "Data too short to be sealed",
    [
      [{ 1000: 7, 1001: 0 }, Buffer.alloc(24)],
      [{ 1000: 7, 1001: 1 }, Buffer.alloc(16)],
    ],
    "too short",
  ],
  [
    "Data over 31 KB",
    [
      [{ 1000: 7, 1001: 0 }, Buffer.alloc(24)],
      [{ 1000: 7, 1001: 1 }, Buffer.alloc(31 * 1024 + 1)],
    ],
    "over 31744",
  ],
  [
    "Data after FIN",
    [
      [{ 1000: 7, 1001: 0, 1010: 1 }, Buffer.alloc(0)],
      [{ 1000: 7, 1001: 1 }, Buffer.alloc(24)],
    ],
    "after its FIN",
  ],
];
test.each(wrongData)("%s ends the connection and is recorded", async (_, frames, named) => {
  const { edge } = await world.connected(await world.bound());
  for (const [headers, body] of frames) edge.send(60786, headers, body);
  await edge.ended;
  expect(world.fabric.violations).toEqual([expect.stringContaining(named)]);
});

test("a connection id may be used once", async () => {
  const caller = await world.connected(await world.bound());
  caller.edge.send(60783, connectHeaders(), caller.permit);
  await caller.edge.ended;
  expect(world.fabric.violations).toEqual([expect.stringContaining("used before")]);
});

test.each<[string, Headers, Buffer, string]>([
  ["for another connection", { 1000: 99, 1001: 0 }, Buffer.alloc(4), "connection 99"],
  ["that does not carry the router's id", { 1000: 1, 1001: 0 }, Buffer.alloc(4), "does not carry"],
  ["without a number", { 1000: 1 }, Buffer.alloc(4), "1001"],
])("a DialSuccess %s ends the host's connection and is recorded", async (_, headers, body, named) => {
  const host = await world.bound();
  const { edge, token } = await world.enter(world.caller);
  const permit = await serviceSession(world.fabric, token, world.service.id, "Dial");
  edge.send(60783, connectHeaders(), permit);
  const { sequence } = await host.edge.expect(60787);
  host.edge.send(60788, { 1: sequence, ...headers }, body);
  await host.edge.ended;
  expect(world.fabric.violations).toEqual([expect.stringContaining(named)]);
});

const brokenFrames: [what: string, bytes: Buffer, named: string][] = [
  ["no magic", Buffer.alloc(20), "does not begin with"],
  ["headers over the bound", cut(12, 0xffff_ffff), "bytes of headers"],
  ["a body over the bound", cut(16, 0xffff_ffff), "a body of"],
  ["a header longer than all", lengthOfHeader(100), "longer than"],
  ["a header twice", twice(), "comes twice"],
];
test.each(brokenFrames)("a frame with %s ends the connection at once", async (_, bytes, named) => {
  const edge = await connectRaw(world.fabric, { key: world.caller.keyPem, cert: world.caller.certPem });
  edge.socket.write(bytes);
  await edge.ended;
  expect(world.fabric.violations).toEqual([expect.stringContaining(named)]);
});

test("a connection that does not begin with Hello ends", async () => {
  const edge = await connectRaw(world.fabric, { key: world.caller.keyPem, cert: world.caller.certPem });
  edge.send(3, { 128: "x" });
  await edge.ended;
  expect(world.fabric.violations).toEqual([expect.stringContaining("not Hello")]);
});

test("frames are the same however their bytes are cut", () => {
  const frames = [0, 20, 300, 40_000].map((length, index) =>
    rawFrame(60786, index, { 1000: index, 1008: "é".repeat(index) }, Buffer.alloc(length, index)),
  );
  const bytes = Buffer.concat(frames);
  fc.assert(
    fc.property(fc.array(fc.nat(bytes.length), { maxLength: 40 }), (cuts) => {
      const read: Frame[] = [];
      const feed = createFrameReader((frame) => read.push(frame));
      const at = [0, ...cuts.toSorted((one, other) => one - other), bytes.length];
      for (const [index, from] of at.entries()) feed(bytes.subarray(from, at[index + 1] ?? bytes.length));
      expect(read.map(({ sequence, body }) => [sequence, body.length])).toEqual([
        [0, 0],
        [1, 20],
        [2, 300],
        [3, 40_000],
      ]);
      expect(read[2]?.headers.get(1008)?.toString()).toBe("éé");
    }),
    { numRuns: 200 },
  );
});

test("noise after Hello ends that connection, and no other", async () => {
  const host = await world.bound();
  const token = await legacyLogin(world.fabric, world.caller);
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ minLength: 20, maxLength: 200 }), async (noise) => {
      const edge = await connectRaw(world.fabric, { key: world.caller.keyPem, cert: world.caller.certPem });
      edge.send(0, { 1002: token }, "label");
      edge.socket.write(noise);
      edge.socket.end();
      await edge.ended;
    }),
    { numRuns: 30 },
  );
  host.edge.send(3, { 128: "x" });
  await host.edge.expect(2);
});

function cut(at: number, length: number): Buffer {
  const bytes = rawFrame(0, 0, {});
  bytes.writeUInt32LE(length, at);
  return bytes;
}

function lengthOfHeader(length: number): Buffer {
  const bytes = rawFrame(0, 0, { 1002: "token" });
  bytes.writeUInt32LE(length, 24);
  return bytes;
}

function twice(): Buffer {
  const bytes = rawFrame(0, 0, { 1002: "token", 1003: "token" });
  bytes.writeUInt32LE(1002, 33);
  return bytes;
}
