import type { Duplex } from "node:stream";
import { OverlayError } from "./errors.ts";
import type { Caller } from "./overlay.ts";
import type { SecureLimits } from "./secure-limits.ts";

/** A connection whose other end is not verified yet. */
export interface Handshake {
  readonly connection: Duplex;
  readonly from: Caller;
}

/** The handshakes under way: bounded in number and time, and each ends verified, or refused once with a reason (I9). */
export interface Handshakes {
  /** How many are under way. */
  readonly count: number;
  begin(connection: Duplex, from: Caller): Handshake;
  /** It is under way no longer: its other end is verified. */
  settle(handshake: Handshake): void;
  /** Says why its connection is not let in, unless that was said before. Whether that is closed is left to the caller. */
  refuse(handshake: Handshake, error: OverlayError): void;
  /** Its connection is gone. */
  closed(handshake: Handshake): void;
  /** The oldest gives way to a new one, so that nobody keeps others out by connections that say nothing (I13). */
  endStalled(): void;
  /** Closes their connections, without a word. */
  endAll(): void;
}

type Pending = { readonly start_ms: number; readonly deadline: NodeJS.Timeout };

/** None are under way. `onRefused` hears each reason. */
export function createHandshakes(
  limits: SecureLimits,
  onRefused: (error: OverlayError, from: Caller) => void,
): Handshakes {
  /** In the order in which they began; times on the clock of `performance.now()`. */
  const pending = new Map<Handshake, Pending>();
  const refused = new WeakSet<Handshake>();

  const settle = (handshake: Handshake): void => {
    clearTimeout(pending.get(handshake)?.deadline);
    pending.delete(handshake);
  };
  const refuse = (handshake: Handshake, error: OverlayError): void => {
    settle(handshake);
    if (refused.has(handshake)) return;
    refused.add(handshake);
    onRefused(error, handshake.from);
  };
  const end = (handshake: Handshake, error: OverlayError): void => {
    refuse(handshake, error);
    handshake.connection.destroy();
  };

  return {
    get count() {
      return pending.size;
    },
    begin(connection, from) {
      const handshake = { connection, from };
      const late = new OverlayError("timeout", `no TLS handshake within ${limits.handshakeTimeout_ms} ms`);
      const deadline = setTimeout(() => end(handshake, late), limits.handshakeTimeout_ms);
      pending.set(handshake, { start_ms: performance.now(), deadline });
      return handshake;
    },
    settle,
    refuse,
    closed(handshake) {
      if (pending.has(handshake))
        refuse(handshake, new OverlayError("broken", "the connection closed during the TLS handshake"));
    },
    endStalled() {
      const [oldest] = pending;
      if (oldest === undefined) return;
      const [handshake, { start_ms }] = oldest;
      if (performance.now() - start_ms < limits.handshakePatience_ms) return;
      end(handshake, new OverlayError("exhausted", "a handshake that took too long gave way to others"));
    },
    endAll() {
      for (const handshake of [...pending.keys()]) {
        settle(handshake);
        handshake.connection.destroy();
      }
    },
  };
}
