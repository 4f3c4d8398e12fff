/**
 * One session: a Placements stream from its hello to its end. What it says and hears of workloads is `Workloads`' matter;
 * here are the pulse, the session number, and why it ended.
 */
import { create } from "@bufbuild/protobuf";
import { createClient, type Transport } from "@connectrpc/connect";
import type { Logger } from "pino";
import { OrchestratorService } from "../../proto/gen/agyn/orchestrator/v1/orchestrator_service_pb.ts";
import {
  HeartbeatSchema,
  HelloSchema,
  LeavingSchema,
  SessionConfirmedSchema,
  type Connect,
  type ControlMessage,
  type Disconnect,
  type Hello,
  type Welcome,
} from "../../proto/gen/agyn/orchestrator/v1/placements_pb.ts";
import { longestTimerMs } from "./backoff.ts";
import { bootTimeMs } from "./boot-clock.ts";
import { readEndpoints } from "./endpoints.ts";
import type { RunnerEndpoint } from "./identity-store.ts";
import { Outbox } from "./outbox.ts";
import { refusalOf } from "./refusal.ts";
import { durationMs } from "./wire-time.ts";
import type { Workloads } from "./workloads.ts";

/** From the hello to the welcome. */
export const welcomeTimeoutMs = 20_000;
/** How long a leaving runner waits for its stream to end. */
export const leaveTimeoutMs = 3_000;
/** Of the intervals that the control plane sets. */
const leastHeartbeatIntervalMs = 50;

/** What the welcome says, in ms. */
export type SessionTerms = {
  sessionNumber: bigint;
  runnerName: string;
  isCluster: boolean;
  /** Leads into this runner, in the control plane's network; empty where it has none. */
  service: string;
  heartbeatIntervalMs: number;
  leaseMs: number;
  lossMarginMs: number;
  metricsIntervalMs: number;
  endpoints: RunnerEndpoint[];
};

/** Why a session ended. */
export type SessionEnd =
  /** The link or the control plane went away; the runner dials again. */
  | { kind: "broken"; message: string }
  /** The control plane says that it is over; `isFinal`: it does not want the runner back by itself. */
  | { kind: "refused"; reason: string; message: string; retryAfterMs: number | undefined; isFinal: boolean }
  /** This runner ended it. */
  | { kind: "left" };

export type SessionDeps = {
  transport: Transport;
  /** All but `held`, which is taken when the hello is made. */
  hello: Omit<Hello, "held" | "$typeName" | "$unknown">;
  workloads: Workloads;
  /** Keeps the number durably, before it is confirmed. */
  keepNumber: (number: bigint) => void;
  /** Told that a heartbeat sent at `sentAtMs` of the boot clock was acknowledged. */
  onContact: (sentAtMs: number, terms: SessionTerms) => void;
  onRenew: () => void;
  onDrain: () => void;
  /** A tunnel is to be opened. */
  onConnect: (connect: Connect) => void;
  log: Logger;
};

export class Session {
  readonly #deps: SessionDeps;
  readonly #outbox: Outbox;
  readonly #abort = new AbortController();
  readonly #welcomed = Promise.withResolvers<SessionTerms | undefined>();
  readonly #sentAt = new Map<bigint, number>();
  readonly #detach: () => void;
  readonly #helloAtMs = bootTimeMs();
  #terms: SessionTerms | undefined;
  #sequence = 0n;
  #contactMs = this.#helloAtMs;
  #heartbeat: NodeJS.Timeout | undefined;
  #end: SessionEnd | undefined;
  #isSucceeded = false;
  #hasIgnoredPlace = false;

  /** Never rejects. */
  readonly ended: Promise<SessionEnd>;

  constructor(deps: SessionDeps) {
    this.#deps = deps;
    const hello = create(HelloSchema, { ...deps.hello, held: deps.workloads.toHeldWorkloads() });
    this.#outbox = new Outbox({ case: "hello", value: hello }, () => this.#break("too many messages wait"));
    this.#detach = deps.workloads.attach((message) => this.#outbox.push(message));
    this.ended = this.#run();
  }

  /** The terms, once the control plane took the session; `undefined` when it ended without. */
  get welcomed(): Promise<SessionTerms | undefined> {
    return this.#welcomed.promise;
  }

  get isOver(): boolean {
    return this.#end !== undefined;
  }

  /**
   * A later session is about to say hello. What is placed over this one from now on is in no hello, so the control plane
   * places it anew; it must not start here as well (I1).
   */
  succeed(): void {
    this.#isSucceeded = true;
  }

  /** The later session did not come about: this one goes on, unless it let go of a placement. */
  carryOn(): void {
    this.#isSucceeded = false;
    if (this.#hasIgnoredPlace) this.#break("a placement was let go while another session was tried");
  }

  /** Says goodbye and ends; bounded in time. */
  async leave(reason: string): Promise<void> {
    this.#end ??= { kind: "left" };
    if (this.#terms === undefined) this.#abort.abort();
    this.#outbox.push({ case: "leaving", value: create(LeavingSchema, { reason }) });
    this.#outbox.end();
    const timer = setTimeout(() => this.#abort.abort(), leaveTimeoutMs);
    await this.ended;
    clearTimeout(timer);
  }

  /** Ends at once, without a word. */
  close(): void {
    this.#end ??= { kind: "left" };
    this.#abort.abort();
  }

  async #run(): Promise<SessionEnd> {
    const client = createClient(OrchestratorService, this.#deps.transport);
    const timer = setTimeout(() => this.#break(`no welcome within ${welcomeTimeoutMs} ms`), welcomeTimeoutMs);
    void this.#welcomed.promise.then(() => clearTimeout(timer));
    try {
      const answers = client.placements(this.#outbox.batches(), { signal: this.#abort.signal });
      for await (const { messages } of answers) {
        for (const message of messages) this.#hear(message.kind);
        if (this.#end?.kind === "refused") break;
      }
      this.#end ??= { kind: "broken", message: "the control plane ended the stream" };
    } catch (error) {
      const { reason, message, retryAfterMs } = refusalOf(error);
      this.#end ??=
        reason === undefined
          ? { kind: "broken", message }
          : { kind: "refused", reason, message, retryAfterMs, isFinal: false };
    } finally {
      clearInterval(this.#heartbeat);
      this.#detach();
      this.#outbox.end();
      this.#abort.abort();
      this.#welcomed.resolve(undefined);
    }
    return this.#end;
  }

  #hear(kind: ControlMessage["kind"]): void {
    const { workloads } = this.#deps;
    switch (kind.case) {
      case "welcome":
        return this.#welcome(kind.value);
      case "heartbeatAcknowledged":
        return this.#acknowledged(kind.value.sequence);
      case "place":
        if (!this.#isSucceeded) return workloads.place(kind.value);
        this.#hasIgnoredPlace = true;
        return undefined;
      case "stop":
        return workloads.stop(kind.value);
      case "completionAcknowledged":
        return workloads.acknowledgeCompletion(kind.value);
      case "forget":
        return workloads.forget(kind.value);
      case "renewIdentity":
        return this.#deps.onRenew();
      case "drain":
        return this.#deps.onDrain();
      case "connect":
        return this.#deps.onConnect(kind.value);
      case "disconnect":
        return this.#disconnected(kind.value);
      case undefined:
        // A newer control plane may say more (I14).
        this.#deps.log.debug("a message of the control plane is not known to this version");
    }
  }

  #welcome(welcome: Welcome): void {
    if (this.#terms !== undefined) return this.#break("the control plane said welcome twice");
    const terms = toTerms(welcome);
    this.#terms = terms;
    this.#deps.keepNumber(terms.sessionNumber);
    const confirmed = create(SessionConfirmedSchema, { sessionNumber: terms.sessionNumber });
    this.#outbox.drop("completed");
    this.#deps.workloads.repeatResults((message) => this.#outbox.push(message));
    this.#outbox.open({ case: "sessionConfirmed", value: confirmed });
    this.#contact(this.#helloAtMs, terms);
    this.#heartbeat = setInterval(() => this.#beat(terms), terms.heartbeatIntervalMs);
    this.#welcomed.resolve(terms);
  }

  #beat(terms: SessionTerms): void {
    const nowMs = bootTimeMs();
    if (nowMs - this.#contactMs > terms.leaseMs) {
      return this.#break(`no heartbeat was acknowledged for ${terms.leaseMs} ms`);
    }
    this.#sequence += 1n;
    this.#sentAt.set(this.#sequence, nowMs);
    this.#outbox.push({ case: "heartbeat", value: create(HeartbeatSchema, { sequence: this.#sequence }) });
  }

  #acknowledged(sequence: bigint): void {
    const sentAtMs = this.#sentAt.get(sequence);
    if (sentAtMs === undefined || this.#terms === undefined) return;
    for (const earlier of this.#sentAt.keys()) if (earlier <= sequence) this.#sentAt.delete(earlier);
    this.#contact(sentAtMs, this.#terms);
  }

  #contact(sentAtMs: number, terms: SessionTerms): void {
    this.#contactMs = Math.max(this.#contactMs, sentAtMs);
    this.#deps.onContact(sentAtMs, terms);
  }

  #disconnected({ reason, message, retryAfter }: Disconnect): void {
    const retryAfterMs = retryAfter === undefined ? undefined : durationMs(retryAfter);
    this.#end ??= { kind: "refused", reason, message, retryAfterMs, isFinal: retryAfterMs === undefined };
  }

  #break(message: string): void {
    this.#end ??= { kind: "broken", message };
    this.#abort.abort();
  }
}

function toTerms(welcome: Welcome): SessionTerms {
  const ms = (duration: Welcome["lease"], otherwiseMs: number): number =>
    duration === undefined ? otherwiseMs : durationMs(duration);
  return {
    sessionNumber: welcome.sessionNumber,
    runnerName: welcome.runnerName,
    isCluster: welcome.cluster,
    service: welcome.service,
    heartbeatIntervalMs: Math.min(
      Math.max(leastHeartbeatIntervalMs, ms(welcome.heartbeatInterval, 10_000)),
      longestTimerMs,
    ),
    leaseMs: ms(welcome.lease, 30_000),
    lossMarginMs: ms(welcome.lossMargin, 20_000),
    metricsIntervalMs: ms(welcome.metricsInterval, 10_000),
    endpoints: readEndpoints(welcome.endpoints),
  };
}
