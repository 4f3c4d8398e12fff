import { OverlayError } from "../errors.ts";
import { headerPrefix_bytes, magic, prefix_bytes, type Message } from "./message.ts";

/** Largest headers of a message that is taken, in all. */
export const maxHeaders_bytes = 64 * 1024;
/** Largest body of a message that is taken. */
export const maxBody_bytes = 1024 * 1024;
/** What messages are joined in that came in several pieces; longer ones get memory of their own. */
const scratch_bytes = 64 * 1024;

interface Prefix {
  readonly type: number;
  readonly sequence: number;
  readonly headers_bytes: number;
  readonly total_bytes: number;
}

/**
 * Takes bytes as they come, cut anywhere, and hands on each whole message. Throws a "broken" `OverlayError` at what is
 * no message, or too large a one, before anything of its size is allocated; after that it is of no more use. What a
 * message holds is overwritten by those after it: copy what is kept.
 */
export function createDeframer(onMessage: (message: Message) => void): (bytes: Buffer) => void {
  const pieces: Buffer[] = [];
  let available_bytes = 0;
  let prefix: Prefix | undefined;
  let scratch: Buffer | undefined;

  return (bytes) => {
    pieces.push(bytes);
    available_bytes += bytes.length;
    for (;;) {
      if (prefix === undefined && available_bytes >= prefix_bytes) prefix = readPrefix(first(prefix_bytes));
      if (prefix === undefined || available_bytes < prefix.total_bytes) return;

      const message = readMessage(prefix, first(prefix.total_bytes));
      drop(prefix.total_bytes);
      prefix = undefined;
      onMessage(message);
    }
  };

  /** The next `count` bytes in one piece: a view where they are, otherwise a copy, until the next call. */
  function first(count: number): Buffer {
    const [piece] = pieces;
    if (piece !== undefined && piece.length >= count) return piece.subarray(0, count);
    const joined = roomFor(count);
    for (let index = 0, filled = 0; filled < count; index++) filled += pieces[index]?.copy(joined, filled) ?? count;
    return joined;
  }

  function roomFor(count: number): Buffer {
    if (count > scratch_bytes) return Buffer.allocUnsafeSlow(count);
    scratch ??= Buffer.allocUnsafeSlow(scratch_bytes);
    return scratch.subarray(0, count);
  }

  function drop(count: number): void {
    available_bytes -= count;
    let left = count;
    while (left > 0) {
      const [piece] = pieces;
      if (piece === undefined) return;
      if (piece.length > left) pieces[0] = piece.subarray(left);
      else pieces.shift();
      left -= piece.length;
    }
  }
}

function readPrefix(bytes: Buffer): Prefix {
  if (magic.compare(bytes, 0, magic.length) !== 0) throw broken("a message does not begin as messages do");
  const headers_bytes = bytes.readUInt32LE(12);
  const body_bytes = bytes.readUInt32LE(16);
  if (headers_bytes > maxHeaders_bytes)
    throw broken(`a message has ${headers_bytes} bytes of headers, more than ${maxHeaders_bytes}`);
  if (body_bytes > maxBody_bytes)
    throw broken(`a message has a body of ${body_bytes} bytes, more than ${maxBody_bytes}`);

  return {
    type: bytes.readUInt32LE(4),
    sequence: bytes.readUInt32LE(8),
    headers_bytes,
    total_bytes: prefix_bytes + headers_bytes + body_bytes,
  };
}

function readMessage({ type, sequence, headers_bytes }: Prefix, frame: Buffer): Message {
  const headers = new Map<number, Buffer>();
  const end = prefix_bytes + headers_bytes;
  let offset = prefix_bytes;
  while (offset < end) {
    const value = offset + headerPrefix_bytes;
    if (value > end) throw broken("a message's headers end in the middle of one");
    const length = frame.readUInt32LE(offset + 4);
    if (length > end - value) throw broken("a message's header is longer than all of them");
    headers.set(frame.readUInt32LE(offset), frame.subarray(value, value + length));
    offset = value + length;
  }
  return { type, sequence, headers, body: frame.subarray(end) };
}

function broken(what: string): OverlayError {
  return new OverlayError("broken", `the router broke the protocol: ${what}`);
}
