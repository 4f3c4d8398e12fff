/** The edge protocol's framing: a fixed head, headers, a body. All numbers are little-endian. */
export interface Frame {
  readonly type: number;
  readonly sequence: number;
  readonly headers: ReadonlyMap<number, Buffer>;
  readonly body: Buffer;
}

/** A header to send: a number is written as u32. */
export type Header = readonly [id: number, value: Buffer | string | number];

/** Bytes that are no frame. What was read with them is lost, so the connection cannot go on. */
export class FrameError extends Error {
  override readonly name = "FrameError";
}

/** Bounds of what a router takes, in bytes. */
const maxHeaders_bytes = 64 * 1024;
const maxBody_bytes = 1024 * 1024;

const head_bytes = 20;
const magic = 0x0c090603;
const headerHead_bytes = 8;

/** Makes the bytes of one frame. */
export function encodeFrame(type: number, sequence: number, headers: readonly Header[], body: Buffer): Buffer {
  const values = headers.map(
    ([id, value]) => [id, typeof value === "number" ? u32(value) : Buffer.from(value)] as const,
  );
  const headers_bytes = values.reduce((sum, [, value]) => sum + headerHead_bytes + value.length, 0);
  const bytes = Buffer.allocUnsafe(head_bytes + headers_bytes + body.length);
  writeHead(bytes, { type, sequence, headers_bytes, body_bytes: body.length });
  let at = head_bytes;
  for (const [id, value] of values) {
    at = bytes.writeUInt32LE(id, at);
    at = bytes.writeUInt32LE(value.length, at);
    at += value.copy(bytes, at);
  }
  body.copy(bytes, at);
  return bytes;
}

/** Makes all of a frame but its body, where each header is a u32. */
export function encodeHead(
  head: { readonly type: number; readonly sequence: number; readonly body_bytes: number },
  headers: readonly (readonly [id: number, value: number])[],
): Buffer {
  const headers_bytes = headers.length * (headerHead_bytes + 4);
  const bytes = Buffer.allocUnsafe(head_bytes + headers_bytes);
  writeHead(bytes, { ...head, headers_bytes });
  let at = head_bytes;
  for (const [id, value] of headers) {
    at = bytes.writeUInt32LE(id, at);
    at = bytes.writeUInt32LE(4, at);
    at = bytes.writeUInt32LE(value, at);
  }
  return bytes;
}

/** Takes bytes as they come and hands on whole frames. Throws a `FrameError` as soon as a head says what cannot be. */
export function createFrameReader(onFrame: (frame: Frame) => void): (chunk: Buffer) => void {
  let held: Buffer[] = [];
  let held_bytes = 0;
  let needed_bytes = head_bytes;
  return (chunk) => {
    held.push(chunk);
    held_bytes += chunk.length;
    if (held_bytes < needed_bytes) return;

    const bytes = held.length === 1 ? chunk : Buffer.concat(held, held_bytes);
    let at = 0;
    while (bytes.length - at >= (needed_bytes = frameLength(bytes, at))) {
      const frame = decodeFrame(bytes.subarray(at, at + needed_bytes));
      at += needed_bytes;
      onFrame(frame);
    }
    held = at === bytes.length ? [] : [bytes.subarray(at)];
    held_bytes = bytes.length - at;
  };
}

/** The bytes of a u32 header or body. */
export function u32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function writeHead(
  bytes: Buffer,
  head: {
    readonly type: number;
    readonly sequence: number;
    readonly headers_bytes: number;
    readonly body_bytes: number;
  },
): void {
  bytes.writeUInt32LE(magic, 0);
  bytes.writeUInt32LE(head.type, 4);
  bytes.writeInt32LE(head.sequence, 8);
  bytes.writeUInt32LE(head.headers_bytes, 12);
  bytes.writeUInt32LE(head.body_bytes, 16);
}

/** How long the frame at `at` is, or how many bytes it takes to know. */
function frameLength(bytes: Buffer, at: number): number {
  if (bytes.length - at < head_bytes) return head_bytes;
  if (bytes.readUInt32LE(at) !== magic) throw new FrameError("a frame does not begin with 03 06 09 0c");

  const headers_bytes = bytes.readUInt32LE(at + 12);
  const body_bytes = bytes.readUInt32LE(at + 16);
  if (headers_bytes > maxHeaders_bytes)
    throw new FrameError(`${headers_bytes} bytes of headers, over ${maxHeaders_bytes}`);
  if (body_bytes > maxBody_bytes) throw new FrameError(`a body of ${body_bytes} bytes, over ${maxBody_bytes}`);
  return head_bytes + headers_bytes + body_bytes;
}

function decodeFrame(bytes: Buffer): Frame {
  const headersEnd = head_bytes + bytes.readUInt32LE(12);
  return {
    type: bytes.readUInt32LE(4),
    sequence: bytes.readInt32LE(8),
    headers: decodeHeaders(bytes.subarray(head_bytes, headersEnd)),
    body: bytes.subarray(headersEnd),
  };
}

function decodeHeaders(bytes: Buffer): Map<number, Buffer> {
  const headers = new Map<number, Buffer>();
  let at = 0;
  while (at < bytes.length) {
    if (bytes.length - at < headerHead_bytes) throw new FrameError("a header is cut off");
    const id = bytes.readUInt32LE(at);
    const end = at + headerHead_bytes + bytes.readUInt32LE(at + 4);
    if (end > bytes.length) throw new FrameError(`header ${id} is longer than the headers`);
    if (headers.has(id)) throw new FrameError(`header ${id} comes twice`);
    headers.set(id, bytes.subarray(at + headerHead_bytes, end));
    at = end;
  }
  return headers;
}
