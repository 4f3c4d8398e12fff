import type { X509Certificate } from "node:crypto";
import http2 from "node:http2";
import type { Duplex } from "node:stream";
import type { Handshake } from "./handshakes.ts";
import type { Caller } from "./overlay.ts";
import { pong } from "./pong.ts";
import { connectionWindow_bytes, type SecureLimits } from "./secure-limits.ts";

/** A verified connection. */
export interface SecureSession {
  readonly peer: X509Certificate;
  readonly from: Caller;
  /** Settles when the connection is gone. */
  readonly closed: Promise<void>;
  /** Whether the other end is there now: answers what is sent to it, in time. */
  answers(timeout_ms: number): Promise<boolean>;
  /** Ends the connection and all its streams at once; `why` travels in the last frame. */
  end(why: string): void;
}

/** The verified connections of a server. Each ends when its certificate expires, or when nothing moves on it. */
export interface SecureSessions {
  /** By the HTTP/2 session; one that was ended is not among them, though its last frame may be on its way. */
  readonly open: ReadonlyMap<http2.Http2Session, SecureSession>;
  admit(session: http2.ServerHttp2Session, peer: X509Certificate, handshake: Handshake): SecureSession;
}

/** How long the last frame of an ended session may take to leave. */
const lastWordsTimeout_ms = 500;

/** Longest delay that a timer takes. */
const maxTimer_ms = 2 ** 31 - 1;

/** None are open. */
export function createSecureSessions(limits: SecureLimits, now: () => Date): SecureSessions {
  const open = new Map<http2.Http2Session, SecureSession>();
  return {
    open,
    admit(session, peer, { connection, from }) {
      const closed = Promise.withResolvers<void>();
      const end = (why: string): void => {
        // From now on no request is let through.
        open.delete(session);
        endSession(session, connection, why);
      };
      const answers = (timeout_ms: number): Promise<boolean> => pong(session, timeout_ms);
      const secured = { peer, from, closed: closed.promise, answers, end };
      open.set(session, secured);
      session.once("close", () => {
        open.delete(session);
        closed.resolve();
      });
      session.setLocalWindowSize(connectionWindow_bytes);
      session.setTimeout(limits.idleTimeout_ms, () => end(`nothing moved for ${limits.idleTimeout_ms} ms`));
      endAtExpiry(secured, now);
      return secured;
    },
  };
}

function endAtExpiry(session: SecureSession, now: () => Date): void {
  const left_ms = session.peer.validToDate.getTime() - now().getTime();
  if (left_ms <= 0) return session.end("the certificate expired");
  const timer = setTimeout(() => endAtExpiry(session, now), Math.min(left_ms, maxTimer_ms));
  timer.unref();
  void session.closed.then(() => clearTimeout(timer));
}

/** Ends a session and its streams, its last words being sent as long as the other end takes them. */
export function endSession(session: http2.Http2Session, connection: Duplex, why: string): void {
  if (session.destroyed) return;
  session.goaway(http2.constants.NGHTTP2_INADEQUATE_SECURITY, 0, Buffer.from(why));
  // The frame leaves at the end of this turn; closing first makes the end of the socket an orderly one.
  setImmediate(() => {
    session.close();
    session.destroy();
  });
  const force = setTimeout(() => connection.destroy(), lastWordsTimeout_ms);
  connection.once("close", () => clearTimeout(force));
}
