/**
 * Many runners in this process, each with its own identity and mutual TLS connection. They enroll, connect and speak as
 * the runner does, by its own code; what they do with a workload is said here, and nothing runs.
 */
import { setTimeout as delay } from "node:timers/promises";
import { createClient, type Transport } from "@connectrpc/connect";
import { create } from "@bufbuild/protobuf";
import {
  AcceptedSchema,
  CompletedSchema,
  HeartbeatSchema,
  HelloSchema,
  ProgressSchema,
  SessionConfirmedSchema,
  type ControlMessage,
  type Place,
} from "../proto/gen/agyn/orchestrator/v1/placements_pb.ts";
import { OrchestratorService } from "../proto/gen/agyn/orchestrator/v1/orchestrator_service_pb.ts";
import { Outcome, WorkloadPhase } from "../proto/gen/agyn/orchestrator/v1/workload_pb.ts";
import { openConnection, type Connection } from "../runner/src/connection.ts";
import { enroll } from "../runner/src/enroll.ts";
import { createIdentityMemory, type IdentityStore, type StoredIdentity } from "../runner/src/identity-store.ts";
import { Outbox } from "../runner/src/outbox.ts";
import { durationMs, toTimestamp } from "../runner/src/wire-time.ts";
import { createRunnerOverlay } from "../runner/src/runner-overlay.ts";
import { parseServiceToken } from "../wire/service-token.ts";
import type { ControlPlane } from "./control-plane.ts";

export type Fleet = Disposable & { readonly size: number };

export type FleetOptions = {
  size: number;
  slots: number;
  /** Called with each placement as it arrives, and the connection over which it came. */
  onPlace: (place: Place, transport: Transport) => void;
  /** Called with each completion that the control plane has made durable. */
  onCompleted: (workloadId: string) => void;
  /** Called with each session that ended too early. */
  onLost: () => void;
};

const enrolledAtOnce = 8;
const connectTimeout_ms = 15_000;
const connectAgain_ms = 100;

/** Registers, enrolls and connects the runners; resolves once each was welcomed. */
export async function openFleet(plane: ControlPlane, options: FleetOptions): Promise<Fleet> {
  const abort = new AbortController();
  let number = 0;
  const worker = async () => {
    while (number < options.size) await openRunner(plane, options, `bench-${number++}`, abort.signal);
  };
  await Promise.all(Array.from({ length: enrolledAtOnce }, worker));
  return {
    size: options.size,
    [Symbol.dispose]() {
      abort.abort();
    },
  };
}

async function openRunner(
  plane: ControlPlane,
  options: FleetOptions,
  name: string,
  signal: AbortSignal,
): Promise<void> {
  const scope = { kind: { case: "organization" as const, value: "default" } };
  const { serviceToken } = await plane.runners.registerRunner({ name, scope });
  const token = parseServiceToken(serviceToken);
  if ("error" in token) throw new Error(token.error);
  const store = createIdentityMemory();
  const identity = await enroll({ gateway: plane.runners, store, host: "bench", signal }, token);
  const { promise: welcomed, resolve, reject } = Promise.withResolvers<void>();
  const runner: BenchRunner = { options, name, identity, store, signal, onWelcome: resolve };
  stayConnected(runner).catch(reject);
  await welcomed;
}

type BenchRunner = {
  options: FleetOptions;
  name: string;
  identity: StoredIdentity;
  store: IdentityStore;
  signal: AbortSignal;
  onWelcome: () => void;
};

/** A control plane that is starved of time cuts its runners, since it cannot know who was revoked; they come back. */
async function stayConnected(runner: BenchRunner): Promise<void> {
  const { identity, signal } = runner;
  const overlay = createRunnerOverlay({ identity: () => identity, version: "bench" });
  while (!signal.aborted) {
    const connection = await connectSoon({ overlay, identity, signal });
    const close = () => connection.close();
    signal.addEventListener("abort", close, { once: true });
    await serve(runner, connection).catch(() => undefined);
    if (!signal.aborted) runner.options.onLost();
    signal.removeEventListener("abort", close);
    connection.close();
  }
}

/** An OpenZiti network hears of a new runner a moment after the control plane. */
async function connectSoon(options: Parameters<typeof openConnection>[0]): Promise<Connection> {
  const deadline_ms = performance.now() + connectTimeout_ms;
  for (;;)
    try {
      return await openConnection(options);
    } catch (error) {
      if (performance.now() > deadline_ms) throw error;
      await delay(connectAgain_ms, undefined, { signal: options.signal });
    }
}

async function serve({ options, name, store, signal, onWelcome }: BenchRunner, connection: Connection): Promise<void> {
  const hello = create(HelloSchema, {
    instanceId: name,
    protocolVersion: 1,
    lastSessionNumber: store.loadSessionNumber(),
    machine: { os: "linux", architecture: "x64", host: "bench", cpus: 1 },
    capacity: { slots: options.slots },
    executors: ["simulated", "process"],
    isolation: "none",
  });
  const outbox = new Outbox({ case: "hello", value: hello }, () => connection.close());
  let heartbeat: NodeJS.Timeout | undefined;
  const hear = ({ kind }: ControlMessage) => {
    if (kind.case === "place") {
      options.onPlace(kind.value, connection.transport);
      live(outbox, kind.value);
    } else if (kind.case === "completionAcknowledged") options.onCompleted(kind.value.workloadId);
    else if (kind.case === "welcome") {
      const { sessionNumber, heartbeatInterval } = kind.value;
      store.saveSessionNumber(sessionNumber);
      outbox.open({ case: "sessionConfirmed", value: create(SessionConfirmedSchema, { sessionNumber }) });
      heartbeat = beat(outbox, durationMs(heartbeatInterval!));
      onWelcome();
    } else if (kind.case === "disconnect") throw new Error(kind.value.message);
  };
  try {
    const client = createClient(OrchestratorService, connection.transport);
    for await (const { messages } of client.placements(outbox.batches(), { signal })) messages.forEach(hear);
  } finally {
    clearInterval(heartbeat);
    outbox.end();
  }
}

function beat(outbox: Outbox, interval_ms: number): NodeJS.Timeout {
  let sequence = 0n;
  const send = () => outbox.push({ case: "heartbeat", value: create(HeartbeatSchema, { sequence: ++sequence }) });
  return setInterval(send, interval_ms);
}

/** The life of a workload that does nothing: accepted, running and ended at once, and so said in one message. */
function live(outbox: Outbox, { workloadId, fence }: Place): void {
  const time = toTimestamp(Date.now());
  outbox.push({ case: "accepted", value: create(AcceptedSchema, { workloadId, fence }) });
  const running = { workloadId, fence, phase: WorkloadPhase.RUNNING, time };
  outbox.push({ case: "progress", value: create(ProgressSchema, running) });
  const result = { outcome: Outcome.EXITED, startTime: time, endTime: time };
  outbox.push({ case: "completed", value: create(CompletedSchema, { workloadId, fence, result }) });
}
