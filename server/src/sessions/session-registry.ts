import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { ControlMessageSchema, type ControlMessage } from "../../../proto/gen/agyn/orchestrator/v1/placements_pb.ts";
import type { Reason } from "../domain/errors.ts";
import { createOutbox, type Outbox } from "./outbox.ts";
import { createSentPlacements, type SentPlacements } from "./sent-placements.ts";

export type ControlMessageInit = NonNullable<MessageInitShape<typeof ControlMessageSchema>["kind"]>;

/** A runner that is connected to this replica. */
export interface RunnerSession {
  readonly runnerId: string;
  /** Of the certificate with which it is connected. */
  readonly spkiSha256: string;
  /** Grows with each session of the runner; the highest is the live one. */
  readonly number: bigint;
  readonly outbox: Outbox<ControlMessage>;
  readonly sent: SentPlacements;
  /** Workload id → grace of the stops that were sent in this session; another grace is sent anew. */
  readonly stopSent: Map<string, number | null>;
  /** Tells the runner, once in a session, to finish what it has and then leave. */
  drain(): void;
  /** Why this side ended it; undefined while it has not. */
  readonly endReason: Reason | undefined;
  /** Settles when the session is ended from this side. */
  readonly ended: Promise<void>;
  /** Queues a message; its size in bytes is to be told where it may be large. */
  send(message: ControlMessageInit, bytes?: number): void;
  /** Says why, and ends the stream. Without `retryAfter_ms` the runner is not to come back by itself. */
  end(reason: Reason, message: string, retryAfter_ms?: number): void;
}

/**
 * What waits for a runner which reads too slowly; beyond it the session ends (I9, I13). A batch stays well below the 16 MiB that a
 * runner reads at once, also where a workload of the largest size, 8 MiB, is alone in it.
 */
const outboxBounds = {
  messages: 20_000,
  bytes: 256 * 1024 * 1024,
  batchMessages: 1000,
  batch_bytes: 4 * 1024 * 1024,
};
/** When one that was displaced by a newer session of its identity may come back. */
export const takeoverRetry_ms = 1000;

/** `number` is the session's own among those of the runner. */
export function createSession(
  { runnerId, spkiSha256 }: Pick<RunnerSession, "runnerId" | "spkiSha256">,
  number: bigint,
): RunnerSession {
  const outbox = createOutbox<ControlMessage>(outboxBounds);
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  let draining = false;
  let endReason: Reason | undefined;
  const session: RunnerSession = {
    runnerId,
    spkiSha256,
    number,
    outbox,
    sent: createSentPlacements(),
    stopSent: new Map(),
    ended,
    send(kind, bytes) {
      if (outbox.push(create(ControlMessageSchema, { kind }), bytes)) return;
      // The next hello brings all of it anew.
      outbox.clear();
      session.end("LIMIT", "the runner reads too slowly: too much waits for it", 1000);
    },
    drain() {
      if (!draining) session.send({ case: "drain", value: {} });
      draining = true;
    },
    get endReason() {
      return endReason;
    },
    end(reason, message, retryAfter_ms) {
      endReason ??= reason;
      const value = {
        reason,
        message,
        ...(retryAfter_ms !== undefined && { retryAfter: durationFromMs(retryAfter_ms) }),
      };
      outbox.push(create(ControlMessageSchema, { kind: { case: "disconnect", value } }));
      outbox.close();
      resolve();
    },
  };
  return session;
}

/** The sessions of this replica: one for each runner. */
export interface SessionRegistry {
  get(runnerId: string): RunnerSession | undefined;
  all(): Iterable<RunnerSession>;
  readonly size: number;
  /** Enters a session; of two of one runner the one with the lower number ends. */
  add(session: RunnerSession): void;
  /** Takes it out, if it is still the one. */
  remove(session: RunnerSession): void;
}

/** Of this replica; starts empty. */
export function createSessionRegistry(): SessionRegistry {
  const sessions = new Map<string, RunnerSession>();
  return {
    get: (runnerId) => sessions.get(runnerId),
    all: () => sessions.values(),
    get size() {
      return sessions.size;
    },
    add(session) {
      const other = sessions.get(session.runnerId);
      const [newer, older] = other && other.number > session.number ? [other, session] : [session, other];
      sessions.set(session.runnerId, newer);
      // Whoever is displaced comes back: the runner itself is recognized, and a second copy of its identity is found out.
      older?.end("UNAVAILABLE", "a newer session of this runner took over", takeoverRetry_ms);
    },
    remove(session) {
      if (sessions.get(session.runnerId) === session) sessions.delete(session.runnerId);
    },
  };
}
