import { create } from "@bufbuild/protobuf";
import {
  PlacementsRequestSchema,
  RunnerMessageSchema,
  type ControlMessage,
  type PlacementsRequest,
  type PlacementsResponse,
} from "../../proto/gen/agyn/orchestrator/v1/placements_pb.ts";
import type { MessageKind } from "../../runner/src/outbox.ts";
import type { RunnerCaller } from "../../server/src/sessions/open-session.ts";
import { createPipe } from "./pipe.ts";
import { contextOf, methods } from "./open-replica.ts";
import type { Replica } from "./replica.ts";
import type { Simulation } from "./world.ts";

/** A Placements stream as the runner has it. */
export interface Stream {
  send(kind: MessageKind): void;
  /** Ends it from here; what was sent may still arrive, and the control plane notices late. */
  close(): void;
}

export type StreamOptions = {
  simulation: Simulation;
  replica: Replica;
  caller: RunnerCaller;
  /** Until when nothing goes to or comes from the runner, in ms since 1970. */
  blockedUntil: () => number;
  onHeard: (kind: ControlMessage["kind"]) => void;
  onEnded: () => void;
};

type Down = { kind: "answer"; answer: PlacementsResponse } | { kind: "ping" } | { kind: "end" };

const answerTimeout_ms = 5000;

/** Opens a stream to a replica that is up, over pipes in this process instead of TLS and HTTP/2. */
export function openStream(options: StreamOptions): Stream {
  const { simulation, replica, caller, onHeard, onEnded } = options;
  const { time, chaos } = simulation;
  const requests = createRequests();
  const broken = new AbortController();
  let isClosed = false;
  const breakOff = () => {
    requests.fail(new Error("the stream was reset"));
    broken.abort();
  };
  const blockedUntil = () => Math.max(options.blockedUntil(), replica.stalledUntil);
  let onPong: (() => void) | undefined;
  const up = createPipe<MessageKind | "pong" | "reset">({
    time,
    delay_ms: () => chaos.linkDelay_ms(),
    blockedUntil,
    deliver: (sent) => {
      if (sent === "reset") breakOff();
      else if (sent === "pong") onPong?.();
      else requests.push(create(PlacementsRequestSchema, { messages: [create(RunnerMessageSchema, { kind: sent })] }));
    },
  });
  const down = createPipe<Down>({
    time,
    delay_ms: () => chaos.linkDelay_ms(),
    blockedUntil: options.blockedUntil,
    deliver: (sent) => {
      if (isClosed) return;
      if (sent.kind === "end") onEnded();
      else if (sent.kind === "ping") up.send("pong");
      else for (const { kind } of sent.answer.messages) onHeard(kind);
    },
  });
  replica.onDown(() => {
    up.cut();
    breakOff();
    down.send({ kind: "end" });
  });
  const noteAcknowledged = ({ messages }: PlacementsResponse) => {
    for (const { kind } of messages)
      if (kind.case === "completionAcknowledged") simulation.invariants.noteAcknowledged(caller.runnerId, kind.value);
  };
  const answers = () =>
    new Promise<boolean>((resolve) => {
      onPong = () => resolve(true);
      setTimeout(() => resolve(false), answerTimeout_ms);
      down.send({ kind: "ping" });
    });
  const context = contextOf(methods.placements, { caller, signal: broken.signal, answers });
  const answer = async () => {
    try {
      for await (const made of replica.services!.orchestrator.placements(requests.all, context)) {
        const response = made as PlacementsResponse;
        noteAcknowledged(response);
        down.send({ kind: "answer", answer: response });
      }
    } catch (error) {
      simulation.note(`${replica.id} ended the session of ${caller.runnerId}: ${String(error)}`);
    }
    down.send({ kind: "end" });
  };
  void answer();
  return {
    send: (kind) => up.send(kind),
    close() {
      isClosed = true;
      // What is still under way may arrive after the next session has begun, or never.
      if (chaos.losesWhatIsUnderWay()) up.cut();
      setTimeout(breakOff, chaos.noticeDelay_ms());
      up.send("reset");
    },
  };
}

function createRequests() {
  const waiting: PlacementsRequest[] = [];
  let failure: Error | undefined;
  let wake: () => void = () => undefined;
  async function* all() {
    for (;;) {
      const next = waiting.shift();
      if (next) yield next;
      else if (failure) throw failure;
      else await new Promise<void>((resolve) => (wake = resolve));
    }
  }
  return {
    all: all(),
    push(request: PlacementsRequest) {
      if (!failure) waiting.push(request);
      wake();
    },
    fail(error: Error) {
      failure ??= error;
      wake();
    },
  };
}
