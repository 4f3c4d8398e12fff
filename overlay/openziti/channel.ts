import type tls from "node:tls";
import { OverlayError, messageOf } from "../errors.ts";
import type { ClientLabel, Credential, Router } from "./credential.ts";
import { connectTls, readTlsError } from "./connect-tls.ts";
import { FrameWriter } from "./frame-writer.ts";
import { createDeframer } from "./framing.ts";
import { copyMessage, encodeMessage, readText, readU32, u32, yes, type Headers, type Message } from "./message.ts";
import { connType, headerId, messageType } from "./protocol.ts";

/** Who takes the messages of one connection id. */
export interface Receiver {
  /** What a router that asks is told. */
  readonly connType: number;
  /** Must not throw. What the message holds is there only until this returns. */
  receive(message: Message): void;
  /** The channel is gone, and with it everything that went through. */
  lost(error: OverlayError): void;
}

/** What a channel is opened with. */
export interface ChannelOptions {
  readonly router: Router;
  readonly credential: Credential;
  readonly token: string;
  readonly label: ClientLabel;
  /** How often a router is asked whether it is still there. */
  readonly probeInterval_ms: number;
  readonly probeTimeout_ms: number;
}

/** A router that is refusing us does it after its Hello, within the time of a look-up at the controller. */
const lateRefusal_ms = 6000;
/** What may wait to be sent before the channel is given up; connections wait long before, so that only answers add up. */
const maxQueued_bytes = 8 * 1024 * 1024;
/** How long a channel that is closed may take to send what it still holds. */
const closeTimeout_ms = 1000;
/** Ids that routers choose lie above. */
const maxOwnId = 0x7fff_ffff;
const nothing = Buffer.alloc(0);

/** Opens a channel: TLS, then Hello. Rejects with an `OverlayError`, or with the reason of `signal`. */
export async function openChannel(options: ChannelOptions, signal: AbortSignal): Promise<Channel> {
  const socket = await connectTls(options.router, options.credential, signal);
  const channel = new Channel(socket, options);
  try {
    await channel.greet(signal);
    return channel;
  } catch (error) {
    channel.destroy(error instanceof OverlayError ? error : new OverlayError("cancelled", messageOf(error)));
    throw error;
  }
}

/** One connection to one router, shared by everything that goes through it. */
export class Channel {
  readonly router: Router;
  /** Round trip of the last probe. */
  latency_ms = Number.POSITIVE_INFINITY;
  readonly #socket: tls.TLSSocket;
  readonly #writer: FrameWriter;
  readonly #options: ChannelOptions;
  readonly #receivers = new Map<number, Receiver>();
  readonly #replies = new Map<number, PromiseWithResolvers<Message>>();
  readonly #closed = Promise.withResolvers<OverlayError>();
  #waiting: ((error?: OverlayError) => void)[] = [];
  #probing: NodeJS.Timeout | undefined;
  #sequence = 0;
  #lastId = 0;
  #greetedAt_ms: number | undefined;
  /** A router says yes to any Hello, and looks at the token afterwards: only what it does for us shows that we are in. */
  #proven = false;
  #retired = false;
  #ended = false;

  constructor(socket: tls.TLSSocket, options: ChannelOptions) {
    this.router = options.router;
    this.#socket = socket;
    this.#writer = new FrameWriter(socket);
    this.#options = options;
    const take = createDeframer((message) => this.#dispatch(message));
    socket.on("data", (bytes: Buffer) => {
      try {
        take(bytes);
      } catch (error) {
        this.destroy(error instanceof OverlayError ? error : new OverlayError("broken", messageOf(error)));
      }
    });
    socket.on("drain", () => this.#letWaitingWrite());
    socket.on("error", (error) => this.destroy(readTlsError(error, `router ${this.router.name}`)));
    socket.once("end", () => this.destroy(this.#lossError()));
    socket.once("close", () => this.destroy(this.#lossError()));
  }

  /** Settles with why, when the channel is gone. Never rejects. */
  get closed(): Promise<OverlayError> {
    return this.#closed.promise;
  }

  get isOpen(): boolean {
    return !this.#ended;
  }

  /** Whether nothing goes through. */
  get isIdle(): boolean {
    return this.#receivers.size === 0;
  }

  /** Whether a connection may write; otherwise it waits by `onceWritable`. */
  get isWritable(): boolean {
    return !this.#socket.writableNeedDrain;
  }

  /** Says who we are, and starts probing. */
  async greet(signal: AbortSignal): Promise<void> {
    const { token, label, probeInterval_ms } = this.#options;
    const headers: Headers = new Map([
      [headerId.sessionToken, Buffer.from(token)],
      [headerId.supportsInspect, yes],
    ]);
    const start_ms = performance.now();
    const result = await this.#request(
      messageType.hello,
      headers,
      Buffer.from(`${label.name} ${label.version}`),
      signal,
    );
    if (result.headers.get(headerId.resultSuccess)?.[0] !== 1) {
      const words = readText(result.body);
      throw new OverlayError("unauthorized", `router ${this.router.name} refused us: ${words}`);
    }
    const now_ms = performance.now();
    this.#greetedAt_ms = now_ms;
    this.latency_ms = now_ms - start_ms;
    this.#probing = setInterval(() => void this.#probe(), probeInterval_ms).unref();
  }

  /** Shows the router a newer token. Whether it took it. */
  async updateToken(token: string, signal: AbortSignal): Promise<boolean> {
    const answer = await this.#request(messageType.updateToken, new Map(), Buffer.from(token), signal);
    return answer.type === messageType.updateTokenSuccess;
  }

  /** An id for a connection of ours. */
  newId(): number {
    do this.#lastId = (this.#lastId % maxOwnId) + 1;
    while (this.#receivers.has(this.#lastId));
    return this.#lastId;
  }

  has(id: number): boolean {
    return this.#receivers.has(id);
  }

  /** Hands the messages of an id to `receiver` from now on. */
  attach(id: number, receiver: Receiver): void {
    this.#receivers.set(id, receiver);
  }

  detach(id: number): void {
    this.#receivers.delete(id);
    if (this.#retired && this.isIdle) this.close();
  }

  nextSequence(): number {
    this.#sequence = (this.#sequence + 1) % maxOwnId;
    return this.#sequence;
  }

  /** Sends a message, with the others of this turn, unless the channel is gone. Gives its sequence number. */
  send(type: number, headers: Headers, body: Uint8Array = nothing): number {
    const sequence = this.nextSequence();
    const frame = encodeMessage(type, sequence, headers, body);
    this.openFrame(frame.length).set(frame);
    return sequence;
  }

  /** Room for a frame of this length, which leaves with the others of this turn, unless the channel is gone. */
  openFrame(length: number): Buffer {
    const frame = this.#writer.open(length);
    if (this.#writer.waiting_bytes > maxQueued_bytes) {
      this.destroy(new OverlayError("exhausted", `router ${this.router.name} takes nothing of what is sent to it`));
    }
    return frame;
  }

  /** Calls back, once, when there is room to write, or with why there never will be. First come, first served. */
  onceWritable(callback: (error?: OverlayError) => void): void {
    this.#waiting.push(callback);
  }

  /** Closes as soon as nothing goes through any more. */
  retire(): void {
    this.#retired = true;
    if (this.isIdle) this.close();
  }

  /** Ends the channel after what is still to be sent. */
  close(): void {
    const late = setTimeout(() => this.#socket.destroy(), closeTimeout_ms).unref();
    this.#socket.once("close", () => clearTimeout(late));
    this.#end(new OverlayError("cancelled", `the channel to router ${this.router.name} was closed`));
    this.#writer.flush();
    this.#socket.destroySoon();
  }

  /** Ends the channel at once. */
  destroy(error: OverlayError): void {
    this.#end(error);
    this.#socket.destroy();
  }

  #end(error: OverlayError): void {
    if (this.#ended) return;
    this.#ended = true;
    clearInterval(this.#probing);
    this.#closed.resolve(error);
    for (const callback of this.#waiting.splice(0)) callback(error);
    for (const reply of this.#replies.values()) reply.reject(error);
    for (const receiver of [...this.#receivers.values()]) receiver.lost(error);
    this.#receivers.clear();
  }

  #lossError(): OverlayError {
    const early = this.#greetedAt_ms !== undefined && performance.now() - this.#greetedAt_ms < lateRefusal_ms;
    if (this.#proven || !early) return new OverlayError("broken", `router ${this.router.name} closed the channel`);
    return new OverlayError("unauthorized", `router ${this.router.name} did not let us in: it closed after the Hello`);
  }

  #letWaitingWrite(): void {
    while (this.#waiting.length > 0 && this.isWritable) this.#waiting.shift()?.();
  }

  #dispatch(message: Message): void {
    const { type, headers } = message;
    if (type === messageType.latency) return this.#answerProbe(message);

    const id = readU32(headers, headerId.connId);
    if (id === undefined) return this.#settleReply(message);
    this.#proven = true;
    const receiver = this.#receivers.get(id);
    if (type === messageType.connInspectRequest) return this.#answerInspection(message, id, receiver);
    if (receiver !== undefined) return receiver.receive(message);
    this.#refuse(message, id);
  }

  #settleReply(message: Message): void {
    const replyFor = readU32(message.headers, headerId.replyFor);
    if (replyFor !== undefined) this.#replies.get(replyFor)?.resolve(copyMessage(message));
  }

  #answerProbe({ sequence, headers }: Message): void {
    const probe = headers.get(headerId.probe);
    const answer = new Map<number, Uint8Array>([
      [headerId.replyFor, u32(sequence)],
      [headerId.resultSuccess, yes],
    ]);
    if (probe !== undefined) answer.set(headerId.probe, probe);
    this.send(messageType.result, answer);
  }

  #answerInspection({ sequence }: Message, id: number, receiver: Receiver | undefined): void {
    const answer: Headers = new Map([
      [headerId.replyFor, u32(sequence)],
      [headerId.connId, u32(id)],
      [headerId.connType, Buffer.from([receiver?.connType ?? connType.unknown])],
    ]);
    this.send(messageType.connInspectResponse, answer);
  }

  /** Tells the router that what it speaks of is not, or no more, there. */
  #refuse({ type, sequence }: Message, id: number): void {
    const headers = new Map<number, Uint8Array>([
      [headerId.connId, u32(id)],
      [headerId.sequence, u32(0)],
    ]);
    if (type === messageType.stateConnected) this.send(messageType.stateClosed, headers, Buffer.from("given up"));
    if (type !== messageType.dial) return;
    this.send(messageType.dialFailed, headers.set(headerId.replyFor, u32(sequence)), Buffer.from("nobody listens"));
  }

  async #probe(): Promise<void> {
    const start_ms = performance.now();
    const signal = AbortSignal.timeout(this.#options.probeTimeout_ms);
    try {
      await this.#request(messageType.latency, new Map([[headerId.probe, u32(this.#sequence)]]), nothing, signal);
      this.latency_ms = performance.now() - start_ms;
    } catch {
      const silence = `router ${this.router.name} did not answer a probe within ${this.#options.probeTimeout_ms} ms`;
      this.destroy(new OverlayError("timeout", silence));
    }
  }

  async #request(type: number, headers: Headers, body: Uint8Array, signal: AbortSignal): Promise<Message> {
    signal.throwIfAborted();
    if (this.#ended) throw await this.closed;
    const reply = Promise.withResolvers<Message>();
    const onAbort = () => reply.reject(signal.reason as Error);
    signal.addEventListener("abort", onAbort, { once: true });
    const sequence = this.send(type, headers, body);
    this.#replies.set(sequence, reply);
    try {
      return await reply.promise;
    } finally {
      this.#replies.delete(sequence);
      signal.removeEventListener("abort", onAbort);
    }
  }
}
