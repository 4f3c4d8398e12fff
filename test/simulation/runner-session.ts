import { create } from "@bufbuild/protobuf";
import {
  HeartbeatSchema,
  SessionConfirmedSchema,
  type ControlMessage,
  type Hello,
  type Welcome,
} from "../../proto/gen/agyn/orchestrator/v1/placements_pb.ts";
import type { LossTimes } from "../../runner/src/loss.ts";
import { toMessage } from "../../runner/src/messages.ts";
import type { MessageKind } from "../../runner/src/outbox.ts";
import { toStopOrder } from "../../runner/src/placement.ts";
import { durationMs } from "../../runner/src/wire-time.ts";
import type { RunnerHoldings } from "./runner-holdings.ts";
import type { Stream } from "./stream.ts";

/** One session of a runner, from its hello to its end, as `runner/src/session.ts` keeps it. */
export interface RunnerSession {
  readonly isWelcome: boolean;
  say(kind: MessageKind): void;
  /** A later session says hello: what is placed over this one from now on must not start. */
  succeed(): void;
  /** The later one did not come about; one that let go of a placement ends. */
  carryOn(): void;
  end(): void;
}

export type RunnerSessionDeps = {
  hello: Hello;
  holdings: RunnerHoldings;
  later: (delayMs: number, run: () => void) => void;
  /** Whether a message is said twice. */
  repeats: () => boolean;
  /** Why nothing is taken now. */
  refusal: () => string | undefined;
  openStream: (hears: { onHeard: (kind: ControlMessage["kind"]) => void; onEnded: () => void }) => Stream;
  onWelcome: (session: RunnerSession, number: bigint) => void;
  onContact: (sentAtMs: number, times: LossTimes) => void;
  onDrain: () => void;
  onNote: (text: string) => void;
  /** It ended, from whichever side; once. */
  onEnd: (session: RunnerSession) => void;
};

const welcomeTimeoutMs = 5_000;

export function openRunnerSession(deps: RunnerSessionDeps): RunnerSession {
  const { holdings, later } = deps;
  const helloAtMs = Date.now();
  const waiting: MessageKind[] = [];
  const sentAt = new Map<bigint, number>();
  let sequence = 0n;
  let acknowledgedMs = helloAtMs;
  let isWelcome = false;
  let isSucceeded = false;
  let hasIgnoredPlace = false;
  let isOver = false;

  const session: RunnerSession = {
    get isWelcome() {
      return isWelcome;
    },
    say(kind) {
      if (!isWelcome) return void waiting.push(kind);
      stream.send(kind);
      if (deps.repeats()) stream.send(kind);
    },
    succeed() {
      isSucceeded = true;
    },
    carryOn() {
      isSucceeded = false;
      if (hasIgnoredPlace) session.end();
    },
    end() {
      if (isOver) return;
      isOver = true;
      stream.close();
      deps.onEnd(session);
    },
  };
  const contact = (sentAtMs: number, times: LossTimes): void => {
    acknowledgedMs = Math.max(acknowledgedMs, sentAtMs);
    deps.onContact(sentAtMs, times);
  };
  const welcome = ({ sessionNumber, heartbeatInterval, lossMargin, lease }: Welcome): void => {
    times = { heartbeatIntervalMs: durationMs(heartbeatInterval!), lossMarginMs: durationMs(lossMargin!) };
    const leaseMs = durationMs(lease!);
    isWelcome = true;
    deps.onWelcome(session, sessionNumber);
    stream.send({ case: "sessionConfirmed", value: create(SessionConfirmedSchema, { sessionNumber }) });
    for (const said of waiting.splice(0)) if (said.case !== "completed") session.say(said);
    for (const result of holdings.results) session.say(toMessage(result));
    contact(helloAtMs, times);
    const beat = (): void => {
      if (isOver) return;
      if (Date.now() - acknowledgedMs > leaseMs) return session.end();
      sequence += 1n;
      sentAt.set(sequence, Date.now());
      stream.send({ case: "heartbeat", value: create(HeartbeatSchema, { sequence }) });
      later(times.heartbeatIntervalMs, beat);
    };
    later(times.heartbeatIntervalMs, beat);
  };
  let times: LossTimes = { heartbeatIntervalMs: 1_000, lossMarginMs: 2_000 };

  const hear = (kind: ControlMessage["kind"]): void => {
    if (isOver) return undefined;
    switch (kind.case) {
      case "welcome":
        return welcome(kind.value);
      case "heartbeatAcknowledged":
        return contact(sentAt.get(kind.value.sequence) ?? 0, times);
      case "place":
        if (!isSucceeded) return holdings.place(kind.value, deps.refusal());
        hasIgnoredPlace = true;
        return undefined;
      case "stop": {
        const { workloadId, fence } = kind.value;
        const order = toStopOrder(kind.value, holdings.get(workloadId)?.placement);
        return holdings.apply(workloadId, { kind: "stop", fence, order });
      }
      case "forget":
        return holdings.apply(kind.value.workloadId, { kind: "forget", fence: kind.value.fence });
      case "completionAcknowledged":
        return holdings.apply(kind.value.workloadId, { kind: "completion_acknowledged", fence: kind.value.fence });
      case "drain":
        return deps.onDrain();
      case "disconnect":
        return deps.onNote(`hears ${kind.value.reason}: ${kind.value.message}`);
      case "renewIdentity":
      case "connect":
      case undefined:
        return undefined;
    }
  };

  const stream = deps.openStream({ onHeard: hear, onEnded: () => session.end() });
  stream.send({ case: "hello", value: deps.hello });
  later(welcomeTimeoutMs, () => {
    if (!isWelcome) session.end();
  });
  return session;
}
