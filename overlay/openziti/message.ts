import { headerId, messageType } from "./protocol.ts";

/** What a message says beside its body. */
export type Headers = ReadonlyMap<number, Uint8Array>;

/** A message as it came. Headers and body are views on what is read into again: copy what is kept. */
export interface Message {
  readonly type: number;
  readonly sequence: number;
  readonly headers: ReadonlyMap<number, Buffer>;
  readonly body: Buffer;
}

/** A message that can be kept. */
export function copyMessage({ type, sequence, headers, body }: Message): Message {
  const copied = [...headers].map(([id, value]) => [id, Buffer.from(value)] as const);
  return { type, sequence, headers: new Map(copied), body: Buffer.from(body) };
}

/** Each message begins with these bytes … */
export const magic = Buffer.from([0x03, 0x06, 0x09, 0x0c]);
/** … and, all u32: type, sequence, length of headers, length of body. */
export const prefix_bytes = 20;
/** A header's id and length. */
export const headerPrefix_bytes = 8;

/** A message as it goes out. */
export function encodeMessage(type: number, sequence: number, headers: Headers, body: Uint8Array): Buffer {
  let headers_bytes = 0;
  for (const value of headers.values()) headers_bytes += headerPrefix_bytes + value.length;

  const frame = Buffer.allocUnsafe(prefix_bytes + headers_bytes + body.length);
  let offset = writePrefix(frame, type, sequence, headers_bytes);
  for (const [id, value] of headers) {
    frame.writeUInt32LE(id, offset);
    frame.writeUInt32LE(value.length, offset + 4);
    frame.set(value, offset + headerPrefix_bytes);
    offset += headerPrefix_bytes + value.length;
  }
  frame.set(body, offset);
  return frame;
}

/** What a data message says of itself. */
export interface DataHead {
  readonly sequence: number;
  readonly connId: number;
  /** Its number on this connection. */
  readonly dataSequence: number;
  /** Nothing is said where it is 0. */
  readonly flags: number;
}

/** Length of a data message before its body, in bytes. */
export function dataHead_bytes({ flags }: DataHead): number {
  return prefix_bytes + (flags === 0 ? 2 : 3) * (headerPrefix_bytes + 4);
}

/** Writes all of a data message but its body, which is the rest of `frame`: to be filled in place, nothing is copied twice. */
export function writeDataHead(frame: Buffer, head: DataHead): Buffer {
  const length = dataHead_bytes(head);
  let offset = writePrefix(frame, messageType.data, head.sequence, length - prefix_bytes);
  offset = writeNumber(frame, offset, headerId.connId, head.connId);
  offset = writeNumber(frame, offset, headerId.sequence, head.dataSequence);
  if (head.flags !== 0) writeNumber(frame, offset, headerId.flags, head.flags);
  return frame.subarray(length);
}

function writeNumber(frame: Buffer, offset: number, id: number, value: number): number {
  frame.writeUInt32LE(id, offset);
  frame.writeUInt32LE(4, offset + 4);
  return frame.writeUInt32LE(value, offset + headerPrefix_bytes);
}

function writePrefix(frame: Buffer, type: number, sequence: number, headers_bytes: number): number {
  frame.set(magic, 0);
  frame.writeUInt32LE(type, 4);
  frame.writeUInt32LE(sequence, 8);
  frame.writeUInt32LE(headers_bytes, 12);
  frame.writeUInt32LE(frame.length - prefix_bytes - headers_bytes, 16);
  return prefix_bytes;
}

/** A number as the value of a header. */
export function u32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32LE(value, 0);
  return bytes;
}

/** A number as the value of a header. */
export function u16(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(2);
  bytes.writeUInt16LE(value, 0);
  return bytes;
}

/** "Yes" as the value of a header. */
export const yes = Buffer.from([1]);

/** The number that a header holds; `undefined` where there is none, or something else. */
export function readU32(headers: Message["headers"], id: number): number | undefined {
  const value = headers.get(id);
  return value?.length === 4 ? value.readUInt32LE(0) : undefined;
}

/** Longest text taken from the other side for a message or a record, in characters. */
const maxText = 256;

/** The text in `bytes` for a person to read: cut where it is long, without control characters. */
export function readText(bytes: Buffer | undefined): string {
  return legible(bytes?.toString("utf8", 0, 4 * maxText) ?? "");
}

/** What the other side said, for a person to read: cut where it is long, without control characters. */
export function legible(text: string): string {
  return text.slice(0, maxText).replaceAll(/\p{Cc}/gu, " ");
}
