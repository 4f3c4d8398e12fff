import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { WireType } from "@bufbuild/protobuf/wire";
import {
  CompletionAcknowledgedSchema,
  ControlMessageSchema,
  HeartbeatAcknowledgedSchema,
  PlaceSchema,
  PlacementsResponseSchema,
  WelcomeSchema,
  type ControlMessage,
  type Hello,
  type PlacementsRequest,
  type PlacementsResponse,
  type RunnerMessage,
} from "../../proto/gen/agyn/orchestrator/v1/placements_pb.ts";
import { toDuration } from "../../runner/src/wire-time.ts";
import { eventually } from "./eventually.ts";

type RunnerKind = RunnerMessage["kind"];
type Case = Exclude<RunnerKind["case"], undefined>;
type Value<C extends Case> = Extract<RunnerKind, { case: C }>["value"];

export type Terms = {
  sessionNumber?: bigint;
  heartbeatMs?: number;
  leaseMs?: number;
  lossMarginMs?: number;
  isCluster?: boolean;
};

/** One session of a runner, as the control plane's side sees it: what came, and what is to be said. */
export class ScriptedSession {
  readonly received: RunnerKind[] = [];
  readonly hello: Promise<Hello>;
  isOver = false;
  /** Heartbeats are acknowledged while this holds. */
  acknowledgesHeartbeats = true;
  /** Completions are acknowledged while this holds. */
  acknowledgesCompletions = true;
  readonly #waiting: ControlMessage[] = [];
  #wake: (() => void) | undefined;

  constructor(requests: AsyncIterable<PlacementsRequest>, signal: AbortSignal) {
    void this.#read(requests);
    this.hello = eventually("a hello", () => this.all("hello")[0]);
    signal.addEventListener("abort", () => this.end());
  }

  /** Everything of one kind that came. */
  all<C extends Case>(wanted: C): Value<C>[] {
    return this.received.flatMap((kind) => (kind.case === wanted ? [kind.value as Value<C>] : []));
  }

  /** The first of one kind about a workload. */
  async next<C extends Case>(wanted: C, workloadId?: string): Promise<Value<C>> {
    const isIt = (value: Value<C>): boolean =>
      workloadId === undefined || ("workloadId" in value && value.workloadId === workloadId);
    const find = (): { value: Value<C> } | undefined => {
      const value = this.all(wanted).find(isIt);
      return value === undefined ? undefined : { value };
    };
    return (await eventually(`${wanted} of ${workloadId ?? "any"}`, find)).value;
  }

  say(kind: Exclude<ControlMessage["kind"], { case: undefined }>): void {
    this.#waiting.push(create(ControlMessageSchema, { kind }));
    this.#wake?.();
  }

  /** Says something that only a newer control plane says. */
  sayUnknown(): void {
    const message = create(ControlMessageSchema);
    message.$unknown = [{ no: 536_870_911, wireType: WireType.LengthDelimited, data: Uint8Array.of(2, 8, 1) }];
    this.#waiting.push(message);
    this.#wake?.();
  }

  place(place: MessageInitShape<typeof PlaceSchema>): void {
    this.say({ case: "place", value: create(PlaceSchema, place) });
  }

  welcome({ sessionNumber = 1n, heartbeatMs = 100, leaseMs = 60_000, lossMarginMs = 200, isCluster }: Terms): void {
    const value = create(WelcomeSchema, {
      sessionNumber,
      runnerName: "scripted",
      heartbeatInterval: toDuration(heartbeatMs),
      lease: toDuration(leaseMs),
      lossMargin: toDuration(lossMarginMs),
      metricsInterval: toDuration(100),
      cluster: isCluster ?? false,
    });
    this.say({ case: "welcome", value });
  }

  end(): void {
    this.isOver = true;
    this.#wake?.();
  }

  async *answers(): AsyncGenerator<PlacementsResponse> {
    while (!this.isOver) {
      const messages = this.#waiting.splice(0);
      if (messages.length > 0) yield create(PlacementsResponseSchema, { messages });
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  async #read(requests: AsyncIterable<PlacementsRequest>): Promise<void> {
    try {
      for await (const { messages } of requests) for (const { kind } of messages) this.#hear(kind);
    } catch {
      // The runner went away; `isOver` says so.
    }
    this.end();
  }

  #hear(kind: RunnerKind): void {
    this.received.push(kind);
    if (kind.case === "heartbeat" && this.acknowledgesHeartbeats) {
      this.say({
        case: "heartbeatAcknowledged",
        value: create(HeartbeatAcknowledgedSchema, { sequence: kind.value.sequence }),
      });
    }
    if (kind.case === "completed" && this.acknowledgesCompletions) {
      const { workloadId, fence } = kind.value;
      this.say({ case: "completionAcknowledged", value: create(CompletionAcknowledgedSchema, { workloadId, fence }) });
    }
  }
}
