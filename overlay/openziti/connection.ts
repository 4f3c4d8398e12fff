import { Duplex } from "node:stream";
import { OverlayError } from "../errors.ts";
import type { Channel, Receiver } from "./channel.ts";
import { dataHead_bytes, readText, readU32, u32, writeDataHead, type Message } from "./message.ts";
import { dataFlag, headerId, messageType } from "./protocol.ts";
import { readRefusal } from "./refusal.ts";
import {
  sealHeader_bytes,
  sealOverhead_bytes,
  type Opener,
  type Sealer,
  type SessionKeys,
  type Sodium,
} from "./sodium.ts";

/** What a connection is made of. */
export interface ConnectionParts {
  readonly channel: Channel;
  readonly id: number;
  readonly connType: number;
  readonly sodium: Sodium;
  /** Where the service is end-to-end encrypted. */
  readonly keys: SessionKeys | undefined;
  /** What may wait for the reader. */
  readonly maxReceive_bytes: number;
}

/** Largest body that is sent. */
const maxSend_bytes = 31 * 1024;
/** What a piece that waits costs beside its bytes. */
const pieceOverhead_bytes = 256;
const nothing = Buffer.alloc(0);

/**
 * One connection through a router. What has come and is not yet read is bounded: past that the connection, and only it,
 * is destroyed as "exhausted", because the channel, which others share, cannot wait. An end that the other did not
 * announce destroys it as "broken".
 */
export class EdgeConnection extends Duplex implements Receiver {
  readonly connType: number;
  readonly #parts: ConnectionParts;
  #sealer: Sealer | undefined;
  #opener: Opener | undefined;
  /** What has come and is not yet read; `null` is its end. */
  #received: (Buffer | null)[] = [];
  #received_bytes = 0;
  #wanted = false;
  #dataSequence = 0;
  #finReceived = false;
  #closedByOther = false;

  constructor(parts: ConnectionParts) {
    super({ allowHalfOpen: true });
    this.#parts = parts;
    this.connType = parts.connType;
    // A loss before anybody listens must not end the process; who holds the connection sees its close.
    this.on("error", () => {});
  }

  receive(message: Message): void {
    if (message.type === messageType.data) this.#receiveData(message);
    if (message.type === messageType.stateClosed) this.#receiveClosed(readText(message.body));
  }

  lost(error: OverlayError): void {
    this.#closedByOther = true;
    this.destroy(error);
  }

  override _read(): void {
    this.#wanted = true;
    while (this.#wanted && this.#received.length > 0) this.#hand(this.#received.shift() ?? null);
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error) => void): void {
    this.#send([chunk], callback);
  }

  override _writev(chunks: { chunk: Buffer }[], callback: (error?: Error) => void): void {
    this.#send(
      chunks.map(({ chunk }) => chunk),
      callback,
    );
  }

  override _final(callback: (error?: Error) => void): void {
    if (!this.#closedByOther) this.#sendBody(0, dataFlag.fin, () => {});
    callback();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    const { channel, id } = this.#parts;
    if (!this.#closedByOther) {
      const words = error instanceof OverlayError ? error.message : "close called";
      const headers = new Map([
        [headerId.connId, u32(id)],
        [headerId.sequence, u32(0)],
      ]);
      channel.send(messageType.stateClosed, headers, Buffer.from(words));
    }
    channel.detach(id);
    this.#sealer?.close();
    this.#opener?.close();
    this.#received = [];
    callback(error);
  }

  #receiveData({ headers, body }: Message): void {
    if (this.destroyed) return;
    const flags = readU32(headers, headerId.flags) ?? 0;
    if (this.#finReceived) return this.#break("it sent more after it had said all");
    if ((flags & dataFlag.multipartMessage) !== 0)
      return this.#break("it sent several messages where a stream was agreed");
    if (body.length > 0) this.#open(body);
    if ((flags & dataFlag.fin) === 0 || this.destroyed) return;
    this.#finReceived = true;
    this.#take(null);
  }

  #open(body: Buffer): void {
    const { keys, sodium } = this.#parts;
    // A copy, because a view would hold on to all that was read together with it.
    if (keys === undefined) return this.#take(Buffer.from(body));
    if (this.#opener === undefined) {
      if (body.length !== sealHeader_bytes) return this.#break("it did not begin with the header of encryption");
      this.#opener = sodium.createOpener(keys.receive, body);
      return;
    }

    const plain = this.#opener.open(body);
    if (plain === undefined) return this.#break("what it sent cannot be decrypted");
    if (plain.length > 0) this.#take(plain);
  }

  #take(piece: Buffer | null): void {
    if (this.#wanted && this.#received.length === 0) return this.#push(piece);
    this.#received.push(piece);
    this.#received_bytes += (piece?.length ?? 0) + pieceOverhead_bytes;
    const { maxReceive_bytes } = this.#parts;
    if (this.#received_bytes <= maxReceive_bytes) return;
    this.destroy(new OverlayError("exhausted", `more than ${maxReceive_bytes} bytes came that nobody has read`));
  }

  #hand(piece: Buffer | null): void {
    this.#received_bytes -= (piece?.length ?? 0) + pieceOverhead_bytes;
    this.#push(piece);
  }

  #push(piece: Buffer | null): void {
    this.#wanted = this.push(piece);
  }

  #receiveClosed(words: string): void {
    this.#closedByOther = true;
    if (!this.#finReceived) {
      this.destroy(readRefusal({ words, otherwise: "broken", what: "the connection was closed" }));
    } else if (this.readableEnded) {
      this.destroy();
    } else {
      // Everything has come, and is there to be read.
      this.once("end", () => this.destroy());
    }
  }

  #break(what: string): void {
    this.destroy(new OverlayError("broken", `the other end broke the protocol: ${what}`));
  }

  /** Sends `pieces`, waiting whenever the channel has no room, and calls back when all are on their way. */
  #send(pieces: Buffer[], callback: (error?: Error) => void): void {
    const { channel } = this.#parts;
    while (pieces.length > 0) {
      if (this.destroyed || this.#closedByOther)
        return callback(new OverlayError("broken", "the connection is closed: nothing can be sent any more"));
      if (!channel.isWritable)
        return channel.onceWritable((error) => (error === undefined ? this.#send(pieces, callback) : callback(error)));
      const plain = nextBody(pieces, maxSend_bytes - sealOverhead_bytes);
      if (plain.length > 0) this.#sendPlain(plain);
    }
    callback();
  }

  #sendPlain(plain: Buffer): void {
    const { keys, sodium } = this.#parts;
    if (keys === undefined) return this.#sendBody(plain.length, 0, (body) => body.set(plain));

    const sealer = (this.#sealer ??= sodium.createSealer(keys.send));
    if (this.#dataSequence === 0) this.#sendBody(sealHeader_bytes, 0, (body) => body.set(sealer.header));
    this.#sendBody(plain.length + sealOverhead_bytes, 0, (body) => sealer.seal(plain, body));
  }

  #sendBody(length: number, flags: number, fill: (body: Buffer) => void): void {
    const { channel, id } = this.#parts;
    const first = this.#dataSequence === 0 ? dataFlag.stream : 0;
    const head = {
      sequence: channel.nextSequence(),
      connId: id,
      dataSequence: this.#dataSequence,
      flags: flags | first,
    };
    fill(writeDataHead(channel.openFrame(dataHead_bytes(head) + length), head));
    this.#dataSequence = (this.#dataSequence + 1) >>> 0;
  }
}

/** Takes so much off the front of `pieces`, merging small ones. */
function nextBody(pieces: Buffer[], max_bytes: number): Buffer {
  const [first = nothing] = pieces;
  if (first.length > max_bytes) {
    pieces[0] = first.subarray(max_bytes);
    return first.subarray(0, max_bytes);
  }

  let count = 0;
  let length = 0;
  for (const piece of pieces) {
    if (length + piece.length > max_bytes) break;
    length += piece.length;
    count++;
  }
  const merged = pieces.splice(0, count);
  return count === 1 ? first : Buffer.concat(merged, length);
}
