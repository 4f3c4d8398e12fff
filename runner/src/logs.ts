/**
 * The logs of everything that is held: one spool each, and what is on its way to the control plane.
 *
 * 1. A job never waits: what it writes is in its spool before `append` returns.
 * 2. A log is settled once the control plane has its end, or refused it; its spool stays until the workload goes.
 * 3. At most `maximumInFlightBytes` are sent and not answered.
 */
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import {
  LogChunkSchema,
  LogEndSchema,
  PushRequestSchema,
  type LogChunk,
  type LogEnd,
  type LogPosition,
  type PushRequest,
} from "../../proto/gen/agyn/logs/v1/logs_service_pb.ts";
import type { LogStream } from "../../wire/log-records.ts";
import { holdingKey, type HoldingRef } from "./holding.ts";
import { openSpool, type Spool } from "./spool.ts";

/** Decompressed bytes of one chunk. */
export const chunkBytes = 256 * 1024;
/** Bytes of chunks that are sent and not yet answered. */
export const maximumInFlightBytes = 4 * 1024 * 1024;
/** Of one message. */
const maximumRequestBytes = 1024 * 1024;
const maximumRequestChunks = 256;
const maximumRequestEnds = 1000;

type Log = {
  of: HoldingRef;
  /** Made with the first output. */
  spool: Spool | undefined;
  isEnded: boolean;
  state: "open" | "end_sent" | "settled";
  inFlight: { firstLine: number; nextLine: number; bytes: number }[];
  /** Chunks of this stream that were not answered. */
  awaitedAnswers: number;
};

export type LogsOptions = {
  directory: string;
  spoolBytes?: number;
};

/** Told once of each log that is settled; `refused`: why the control plane does not want it. */
export type SettledListener = (of: HoldingRef, refused: string | undefined) => void;

export class Logs {
  readonly #options: LogsOptions;
  readonly #logs = new Map<string, Log>();
  readonly #ready = new Set<Log>();
  #onSettled: SettledListener = () => {};
  #inFlightBytes = 0;
  #wake: (() => void) | undefined;
  #flushTimer: NodeJS.Timeout | undefined;

  constructor(options: LogsOptions) {
    this.#options = options;
  }

  /** Who is told what is settled. */
  listen(onSettled: SettledListener): void {
    this.#onSettled = onSettled;
  }

  /** Takes up the log of a workload; `kept`: an earlier process may have left a spool. */
  add(of: HoldingRef, kept: boolean): void {
    const log: Log = { of, spool: undefined, isEnded: false, state: "open", inFlight: [], awaitedAnswers: 0 };
    this.#logs.set(holdingKey(of), log);
    if (!kept) return;
    log.spool = this.#openSpool(of);
    log.isEnded = log.spool.isEnded;
    this.#markReady(log);
  }

  /** The next line's number of a log. */
  nextLine(of: HoldingRef): number {
    return this.#logs.get(holdingKey(of))?.spool?.nextLine ?? 0;
  }

  /** Where an output stands: what is appended next begins there. */
  position(of: HoldingRef, stream: LogStream): { line: number; heldBytes: number } {
    const spool = this.#logs.get(holdingKey(of))?.spool;
    return { line: spool?.nextLine ?? 0, heldBytes: spool?.heldBytes(stream) ?? 0 };
  }

  append(of: HoldingRef, stream: LogStream, bytes: Uint8Array): void {
    const log = this.#logs.get(holdingKey(of));
    if (log === undefined || log.isEnded || log.state === "settled") return;
    log.spool ??= this.#openSpool(of);
    log.spool.append(stream, bytes, Date.now());
    this.#markReady(log);
    this.#planFlush();
  }

  /** Nothing more comes. */
  end(of: HoldingRef): void {
    const log = this.#logs.get(holdingKey(of));
    if (log === undefined || log.isEnded) return;
    log.isEnded = true;
    log.spool?.end(Date.now());
    this.#markReady(log);
  }

  /** Nobody wants the log any more; what still comes is let go. */
  drop(of: HoldingRef): void {
    const log = this.#logs.get(holdingKey(of));
    if (log === undefined) return;
    this.#ready.delete(log);
    this.#clearInFlight(log);
    log.state = "settled";
    log.spool?.remove();
    log.spool = undefined;
  }

  /** Forgets a log with its spool. */
  remove(of: HoldingRef): void {
    const log = this.#logs.get(holdingKey(of));
    if (log === undefined) return;
    this.#logs.delete(holdingKey(of));
    this.#ready.delete(log);
    this.#clearInFlight(log);
    log.spool?.remove();
  }

  /** A new stream: what was not acknowledged is sent again. */
  restart(): void {
    for (const log of this.#logs.values()) {
      this.#clearInFlight(log);
      log.awaitedAnswers = 0;
      if (log.state === "settled") continue;
      log.state = "open";
      log.spool?.rewindTo(log.spool.acknowledgedLine);
      this.#markReady(log);
    }
  }

  /** Resolves when there may be something to send, or `signal` aborts. */
  async ready(signal: AbortSignal): Promise<void> {
    if (signal.aborted || this.#canSend()) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const onAbort = (): void => resolve();
    this.#wake = resolve;
    signal.addEventListener("abort", onAbort, { once: true });
    await promise;
    signal.removeEventListener("abort", onAbort);
  }

  /** The next message, each log in its turn; `undefined` when nothing can be sent now. */
  nextRequest(): PushRequest | undefined {
    const chunks: LogChunk[] = [];
    const ends: LogEnd[] = [];
    let bytes = 0;
    while (this.#canSend() && bytes < maximumRequestBytes) {
      if (chunks.length >= maximumRequestChunks || ends.length >= maximumRequestEnds) break;
      const [log] = this.#ready;
      if (log === undefined) break;
      this.#ready.delete(log);
      const chunk = this.#nextChunk(log);
      if (chunk !== undefined) {
        chunks.push(chunk);
        bytes += chunk.data.length;
        this.#ready.add(log);
        continue;
      }
      if (!hasEnd(log)) continue;
      log.state = "end_sent";
      ends.push(create(LogEndSchema, { ...log.of, lineCount: BigInt(log.spool?.nextLine ?? 0) }));
    }
    if (chunks.length === 0 && ends.length === 0) return undefined;
    return create(PushRequestSchema, { chunks, ends });
  }

  /** What the control plane has. */
  settle(positions: readonly LogPosition[]): void {
    for (const position of positions) this.#settle(position);
  }

  /** Closes every spool; they stay on disk. */
  close(): void {
    clearTimeout(this.#flushTimer);
    for (const { spool } of this.#logs.values()) spool?.close();
    this.#logs.clear();
    this.#ready.clear();
  }

  #settle(position: LogPosition): void {
    const log = this.#logs.get(holdingKey(position));
    if (log === undefined || log.state === "settled") return;
    if (position.refused !== "" || position.ended) {
      this.#settled(log, position.refused === "" ? undefined : `${position.refused}: ${position.message}`);
      return;
    }
    log.awaitedAnswers = Math.max(0, log.awaitedAnswers - 1);
    this.#moveTo(log, Number(position.nextLine));
  }

  #moveTo(log: Log, nextLine: number): void {
    const { spool, inFlight } = log;
    if (log.state === "end_sent") log.state = "open";
    while (inFlight[0] !== undefined && inFlight[0].nextLine <= nextLine) {
      this.#inFlightBytes -= inFlight.shift()?.bytes ?? 0;
    }
    if (spool !== undefined) {
      // A chunk is taken whole or not at all, so one that is neither will not be.
      const isInside = inFlight[0] !== undefined && inFlight[0].firstLine < nextLine;
      const isUnanswered = inFlight.length === 0 || log.awaitedAnswers > 0;
      if (isInside || !isUnanswered || nextLine > spool.nextLine) {
        this.#clearInFlight(log);
        spool.rewindTo(nextLine);
      } else {
        spool.acknowledge(nextLine);
      }
    }
    this.#markReady(log);
    this.#wakeUp();
  }

  #settled(log: Log, refused: string | undefined): void {
    log.state = "settled";
    this.#ready.delete(log);
    this.#clearInFlight(log);
    if (refused !== undefined) {
      log.spool?.remove();
      log.spool = undefined;
    }
    this.#onSettled(log.of, refused);
    this.#wakeUp();
  }

  #nextChunk(log: Log): LogChunk | undefined {
    const chunk = log.spool?.nextChunk(chunkBytes);
    if (chunk === undefined) return undefined;
    const { firstLine, count, size, data } = chunk;
    log.inFlight.push({ firstLine, nextLine: firstLine + count, bytes: data.length });
    log.awaitedAnswers += 1;
    this.#inFlightBytes += data.length;
    return create(LogChunkSchema, { ...log.of, firstLine: BigInt(firstLine), count: BigInt(count), size, data });
  }

  #openSpool(of: HoldingRef): Spool {
    const directory = join(this.#options.directory, holdingKey(of));
    const { spoolBytes } = this.#options;
    return openSpool({ directory, ...(spoolBytes === undefined ? {} : { maximumBytes: spoolBytes }) });
  }

  #canSend(): boolean {
    return this.#ready.size > 0 && this.#inFlightBytes < maximumInFlightBytes;
  }

  #markReady(log: Log): void {
    if (log.state === "settled") return;
    if (log.spool?.hasUnsent !== true && !hasEnd(log)) return;
    this.#ready.add(log);
    this.#wakeUp();
  }

  #clearInFlight(log: Log): void {
    for (const { bytes } of log.inFlight.splice(0)) this.#inFlightBytes -= bytes;
  }

  /** Lines that stay open for long go out as pieces. */
  #planFlush(): void {
    if (this.#flushTimer !== undefined) return;
    const dueTimes = [...this.#logs.values()].flatMap(({ spool }) => spool?.dueTime ?? []);
    if (dueTimes.length === 0) return;
    const waitMs = Math.max(10, Math.min(...dueTimes) - Date.now());
    this.#flushTimer = setTimeout(() => this.#flush(), waitMs);
    this.#flushTimer.unref();
  }

  #flush(): void {
    this.#flushTimer = undefined;
    for (const log of this.#logs.values()) {
      if (log.spool === undefined || log.isEnded) continue;
      log.spool.flush(Date.now());
      this.#markReady(log);
    }
    this.#planFlush();
  }

  #wakeUp(): void {
    if (!this.#canSend()) return;
    this.#wake?.();
    this.#wake = undefined;
  }
}

/** Whether its end is to be said: once everything before it is known to be there. */
function hasEnd({ isEnded, state, spool }: Log): boolean {
  return isEnded && state === "open" && (spool === undefined || spool.isDrained);
}
