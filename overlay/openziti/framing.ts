import { OverlayError } from "../errors.ts";
import { headerPrefix_bytes, magic, prefix_bytes, type Message } from "./message.ts";

/** Largest headers of a message that is taken, in all. */
export const maxHeaders_bytes = 64 * 1024;
/** Largest body of a message that is taken. */
export const maxBody_bytes = 1024 * 1024;
/** What messages are joined in that came in several pieces; longer ones get memory of their own. */
const scratch_bytes = 64 * 1024;
const nothing = Buffer.alloc(0);

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
  const scratch = Buffer.allocUnsafeSlow(scratch_bytes);
  /** A message that has not come whole, in memory for all of it: however small its pieces are, they take no more. */
  let begun: Buffer = scratch;
  let begun_bytes = 0;
  let prefix: Prefix | undefined;

  return (bytes) => {
    let rest = bytes;
    while (rest.length > 0) {
      if (begun_bytes === 0) rest = takeWhole(rest);
      if (rest.length > 0) rest = gather(rest);
    }
  };

  /** Hands on the messages that are there in one piece, as views; what is left is the beginning of one, or nothing. */
  function takeWhole(bytes: Buffer): Buffer {
    let rest = bytes;
    while (rest.length >= prefix_bytes) {
      const next = readPrefix(rest);
      if (rest.length < next.total_bytes) break;
      onMessage(readMessage(next, rest.subarray(0, next.total_bytes)));
      rest = rest.subarray(next.total_bytes);
    }
    return rest;
  }

  /** Adds to the message that has begun as much as it lacks, and hands it on when it is whole; what is left comes after it. */
  function gather(bytes: Buffer): Buffer {
    const wanted_bytes = prefix?.total_bytes ?? prefix_bytes;
    const count = bytes.copy(begun, begun_bytes, 0, wanted_bytes - begun_bytes);
    begun_bytes += count;
    if (begun_bytes < wanted_bytes) return nothing;

    const rest = bytes.subarray(count);
    if (prefix === undefined) {
      prefix = readPrefix(begun);
      if (prefix.total_bytes > scratch_bytes) begun = grown(begun, prefix);
      if (prefix.total_bytes > begun_bytes) return rest;
    }
    const whole = begun.subarray(0, prefix.total_bytes);
    const message = readMessage(prefix, whole);
    begun = scratch;
    begun_bytes = 0;
    prefix = undefined;
    onMessage(message);
    return rest;
  }
}

/** Room for all of a message of which the prefix is there. */
function grown(begun: Buffer, { total_bytes }: Prefix): Buffer {
  const room = Buffer.allocUnsafeSlow(total_bytes);
  begun.copy(room, 0, 0, prefix_bytes);
  return room;
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
