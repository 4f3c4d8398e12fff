import type { SecureServerSessionOptions } from "node:http2";

/** The bounds of a secure server (I9). */
export interface SecureLimits {
  /** From accepting a connection to its verified peer; absolute, so that dripping bytes gains nothing. */
  readonly handshakeTimeout_ms: number;
  /** Handshakes at one time: each costs one to two milliseconds of a core. */
  readonly handshakes: number;
  /** Where there is no room for a handshake, the oldest gives way once it took so long: an honest one takes a moment. */
  readonly handshakePatience_ms: number;
  /** Connections at one time, handshakes included. */
  readonly connections: number;
  /** A connection on which nothing moves for this long is closed. */
  readonly idleTimeout_ms: number;
}

/** Of a server that is not told otherwise. */
export const defaultSecureLimits: SecureLimits = {
  handshakeTimeout_ms: 10_000,
  handshakes: 1024,
  handshakePatience_ms: 1000,
  connections: 20_000,
  idleTimeout_ms: 120_000,
};

/** Streams of one connection at one time, on either side. */
const maxStreams = 64;
/** Headers of one request or answer, in bytes as HTTP/2 counts them. */
const maxHeaderList_bytes = 16_384;
/** What one stream, and one connection, may send before the reader has taken it. */
const streamWindow_bytes = 256 * 1024;
/** What the other side may send on one connection before something of it was read. */
export const connectionWindow_bytes = 1024 * 1024;

/** HTTP/2 as both sides speak it; bounds against floods of headers, pings, settings and resets. */
export const http2Options = {
  settings: {
    enablePush: false,
    maxConcurrentStreams: maxStreams,
    maxHeaderListSize: maxHeaderList_bytes,
    initialWindowSize: streamWindow_bytes,
  },
  maxHeaderListPairs: 128,
  maxOutstandingPings: 4,
  maxSettings: 16,
  /** Megabytes. */
  maxSessionMemory: 16,
  maxSessionInvalidFrames: 100,
  maxSessionRejectedStreams: 100,
  streamResetBurst: 200,
  streamResetRate: 33,
} as const satisfies SecureServerSessionOptions;
