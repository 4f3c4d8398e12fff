import fc from "fast-check";
import { expect, test } from "vitest";
import { createDeframer, maxBody_bytes, maxHeaders_bytes } from "../../../overlay/openziti/framing.ts";
import {
  copyMessage,
  dataHead_bytes,
  encodeMessage,
  readU32,
  writeDataHead,
  type Message,
} from "../../../overlay/openziti/message.ts";
import { headerId, messageType } from "../../../overlay/openziti/protocol.ts";

const u32s = fc.integer({ min: 0, max: 0xffff_ffff });
const messages = fc.record({
  type: u32s,
  sequence: u32s,
  headers: fc.uniqueArray(fc.tuple(u32s, fc.uint8Array({ maxLength: 40 })), { selector: ([id]) => id, maxLength: 6 }),
  body: fc.uint8Array({ maxLength: 200 }),
});

test("messages cut anywhere arrive whole and in order", () => {
  const cuts = fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1, maxLength: 20 });
  fc.assert(
    fc.property(fc.array(messages, { maxLength: 5 }), cuts, (sent, lengths) => {
      const bytes = Buffer.concat(
        sent.map(({ type, sequence, headers, body }) => encodeMessage(type, sequence, new Map(headers), body)),
      );
      expect(received(pieces(bytes, lengths))).toEqual(
        sent.map((message) => ({ ...message, body: Buffer.from(message.body), headers: asText(message.headers) })),
      );
    }),
  );
});

test("a message split at any one byte arrives", () => {
  const bytes = encodeMessage(7, 9, new Map([[1000, Buffer.from("four")]]), Buffer.from("body"));
  for (let cut = 0; cut <= bytes.length; cut++)
    expect(received([bytes.subarray(0, cut), bytes.subarray(cut)])).toMatchObject([{ type: 7, sequence: 9 }]);
});

test("a large message in the smallest pieces takes time and memory for its bytes alone", () => {
  const body = Buffer.alloc(maxBody_bytes, "x");
  const bytes = encodeMessage(7, 9, new Map(), body);
  const held_bytes = process.memoryUsage().heapUsed;
  let [most_bytes, count] = [0, 0];
  const take = createDeframer((message) => (count += message.body.equals(body) ? 1 : 0));
  const start_ms = performance.now();
  for (let at = 0; at < bytes.length; at++) {
    take(bytes.subarray(at, at + 1));
    if (at % 65_536 === 0) most_bytes = Math.max(most_bytes, process.memoryUsage().heapUsed - held_bytes);
  }
  expect(count).toBe(1);
  expect(performance.now() - start_ms).toBeLessThan(10_000);
  expect(most_bytes).toBeLessThan(64 * maxBody_bytes);
});

test("a data message is a message", () => {
  const head = { sequence: 5, connId: 77, dataSequence: 3, flags: 8 };
  const frame = Buffer.alloc(dataHead_bytes(head) + 4);
  writeDataHead(frame, head).set(Buffer.from("data"));
  const [message] = collect([frame]);
  expect(message).toMatchObject({ type: messageType.data, sequence: 5, body: Buffer.from("data") });
  expect([headerId.connId, headerId.sequence, headerId.flags].map((id) => readU32(message!.headers, id))).toEqual([
    77, 3, 8,
  ]);
});

const malformed: readonly [string, (frame: Buffer) => void, RegExp][] = [
  ["that begins otherwise", (frame) => frame.writeUInt8(4, 0), /does not begin/],
  ["with too long headers", (frame) => frame.writeUInt32LE(maxHeaders_bytes + 1, 12), /headers, more than/],
  ["with too long a body", (frame) => frame.writeUInt32LE(maxBody_bytes + 1, 16), /body .*, more than/],
  ["of 4 GB", (frame) => frame.writeUInt32LE(0xffff_ffff, 16), /more than/],
  ["whose header overruns", (frame) => frame.writeUInt32LE(5, 24), /longer than all/],
  ["whose headers end within one", (frame) => frame.writeUInt32LE(3, 24), /in the middle/],
];
test.each(malformed)("a message %s is refused", (_, harm, why) => {
  const frame = encodeMessage(1, 2, new Map([[1000, Buffer.from("four")]]), Buffer.from("body"));
  harm(frame);
  expect(() => received([frame])).toThrow(why);
});

test("any bytes are messages or a broken protocol, nothing else", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (noise) => {
      const bytes = Buffer.concat([encodeMessage(1, 2, new Map(), Buffer.alloc(0)), noise]);
      try {
        received([bytes]);
      } catch (error) {
        expect(error).toMatchObject({ name: "OverlayError", reason: "broken" });
      }
    }),
  );
});

function collect(parts: readonly Buffer[]): Message[] {
  const found: Message[] = [];
  const take = createDeframer((message) => found.push(copyMessage(message)));
  for (const part of parts) take(part);
  return found;
}

function received(parts: readonly Buffer[]) {
  return collect(parts).map(({ headers, ...rest }) => ({ ...rest, headers: asText([...headers]) }));
}

function asText(headers: readonly (readonly [number, Uint8Array])[]): [number, string][] {
  return headers.map(([id, value]) => [id, Buffer.from(value).toString("hex")]);
}

function pieces(bytes: Buffer, lengths: readonly number[]): Buffer[] {
  const parts: Buffer[] = [];
  for (let start = 0, turn = 0; start < bytes.length; turn++) {
    const length = lengths[turn % lengths.length] ?? 1;
    parts.push(bytes.subarray(start, start + length));
    start += length;
  }
  return parts;
}
