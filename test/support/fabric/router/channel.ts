import type { X509Certificate } from "node:crypto";
import type { TLSSocket } from "node:tls";
import { createFrameReader, encodeFrame, encodeHead, FrameError, type Frame, type Header } from "./frames.ts";
import type { FrameFaults } from "./frame-faults.ts";

/** The connection of one client with a router: frames in, frames out. */
export interface Channel {
  readonly id: string;
  /** The client's certificate, and those it showed with it. */
  readonly peer: X509Certificate;
  readonly chain: readonly X509Certificate[];
  /** Sends a frame; `onReply` hears the frame that answers it. Returns its sequence. */
  send(type: number, headers: readonly Header[], body?: Buffer | string, onReply?: (reply: Frame) => void): number;
  /** Sends a frame as the answer to another. */
  reply(to: Frame, type: number, headers: readonly Header[], body?: Buffer | string): void;
  /** Sends a message of data without copying its body; `flushed` hears when the bytes have left this process. */
  sendData(type: number, headers: readonly (readonly [number, number])[], body: Buffer, flushed: () => void): void;
  /** Whoever waits for the frame that `reply` answers hears of it. Whether anyone waited. */
  settle(reply: Frame, replyFor: number): boolean;
  /** Runs what may throw a `FrameError`, which ends the connection and is recorded. */
  guard(act: () => void): void;
  /** Stops reading until each holder has released it. */
  hold(holder: object): void;
  release(holder: object): void;
  /** Ends the connection at once, in silence. */
  close(): void;
  readonly isClosed: boolean;
}

const maxWaiting = 10_000;
/** The sequence that every Result has. */
const resultSequence = -1;

/** Speaks frames over a TLS connection. `onFrame` may throw a `FrameError`, which ends it like one of the framing. */
export function openChannel(options: {
  readonly id: string;
  readonly socket: TLSSocket;
  readonly peer: X509Certificate;
  readonly chain: readonly X509Certificate[];
  readonly faults: FrameFaults;
  onFrame(frame: Frame): void;
  onViolation(text: string): void;
  onClose(): void;
}): Channel {
  const { socket, faults } = options;
  const waiting = new Map<number, (reply: Frame) => void>();
  const holders = new Set<object>();
  let sequence = 0;
  let isCorked = false;
  let isClosed = false;

  const read = createFrameReader((frame) => {
    if (!isClosed) options.onFrame(frame);
  });
  socket.setNoDelay(true);
  socket.on("data", (chunk: Buffer) => guard(() => read(chunk)));
  socket.on("error", () => {});
  socket.on("close", () => {
    isClosed = true;
    options.onClose();
  });

  /** Everything written in one turn leaves in one piece. */
  function cork(): void {
    if (isCorked) return;
    isCorked = true;
    socket.cork();
    setImmediate(() => {
      isCorked = false;
      socket.uncork();
    });
  }

  function write(type: number, pieces: readonly Buffer[], flushed?: () => void): void {
    if (isClosed) return;
    if (faults.isArmed) return faults.send(socket, type, Buffer.concat(pieces), flushed);
    cork();
    for (const piece of pieces.slice(0, -1)) socket.write(piece);
    socket.write(pieces.at(-1) ?? Buffer.alloc(0), flushed);
  }

  function guard(act: () => void): void {
    try {
      act();
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      options.onViolation(error.message);
      close();
    }
  }

  function close(): void {
    isClosed = true;
    socket.destroy();
  }

  function send(
    type: number,
    headers: readonly Header[],
    body: Buffer | string = "",
    onReply?: (reply: Frame) => void,
  ) {
    const own = sequence++;
    if (onReply !== undefined && waiting.size < maxWaiting) waiting.set(own, onReply);
    write(type, [encodeFrame(type, own, headers, Buffer.from(body))]);
    return own;
  }

  return {
    id: options.id,
    peer: options.peer,
    chain: options.chain,
    send,
    reply(to, type, headers, body = "") {
      const isResult = type === 2;
      const own = isResult ? resultSequence : sequence++;
      write(type, [encodeFrame(type, own, [[1, to.sequence], ...headers], Buffer.from(body))]);
    },
    sendData(type, headers, body, flushed) {
      const head = encodeHead({ type, sequence: sequence++, body_bytes: body.length }, headers);
      write(type, body.length === 0 ? [head] : [head, body], flushed);
    },
    settle(reply, replyFor) {
      const onReply = waiting.get(replyFor);
      waiting.delete(replyFor);
      onReply?.(reply);
      return onReply !== undefined;
    },
    hold(holder) {
      holders.add(holder);
      socket.pause();
    },
    release(holder) {
      if (holders.delete(holder) && holders.size === 0 && !isClosed) socket.resume();
    },
    guard,
    close,
    get isClosed() {
      return isClosed;
    },
  };
}
