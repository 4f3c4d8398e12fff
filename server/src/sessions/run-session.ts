import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs, timestampNow } from "@bufbuild/protobuf/wkt";
import type { Logger } from "pino";
import {
  PlacementsResponseSchema,
  type Hello,
  type PlacementsRequest,
  type PlacementsResponse,
  type RunnerMessage,
} from "../../../proto/gen/agyn/orchestrator/v1/placements_pb.ts";
import type { EndpointSchema } from "../../../proto/gen/agyn/runners/v1/runners_service_pb.ts";
import { AgynError } from "../domain/errors.ts";
import { renewalDue } from "../domain/identity.ts";
import type { HelloRepair } from "../domain/reconcile-hello.ts";
import { phases } from "../domain/workload.ts";
import type { MasterKey } from "../identity/master-key.ts";
import type { Placer } from "../loops/placer.ts";
import type { FleetState } from "../loops/fleet-state.ts";
import type { Sql } from "../store/database.ts";
import { confirmSession, endSession } from "../store/runner-sessions.ts";
import { endWorkloads, lostEnding, type Advance, type Writer } from "../store/workload-transitions.ts";
import { getWorkload, markUnreachable, type WorkloadHead, type WorkloadRow } from "../store/workloads.ts";
import { callAt } from "./call-at.ts";
import { toResult, toTime } from "./hello.ts";
import { openSession, type OpenedSession, type RunnerCaller, type SessionLine } from "./open-session.ts";
import { toPlaceMessage, toPlacement, type Placement } from "./place-message.ts";
import type { Recorder } from "./recorder.ts";
import { createSession, type RunnerSession, type SessionRegistry } from "./session-registry.ts";

export type SessionDeps = {
  sql: Sql;
  writer: Writer;
  registry: SessionRegistry;
  recorder: Recorder;
  placer: Placer;
  fleet: FleetState;
  masterKey: MasterKey;
  log: Logger;
  endpoints: () => MessageInitShape<typeof EndpointSchema>[];
  /** The services that lead into a runner. */
  overlayServices: (runnerId: string) => string[];
  heartbeat_ms: number;
  lease_ms: number;
  certificateTtl_ms: number;
  metricsInterval_ms: number;
  /** Hears that runners changed in a way other replicas and watchers want to see. */
  onRunnersChanged: () => void;
  /** Tells replicas that sessions are to end. */
  onRevoked: () => void;
};

const helloTimeout_ms = 10_000;

/** The whole conversation with one runner over its Placements stream. */
export async function* runSession(
  deps: SessionDeps,
  caller: RunnerCaller,
  requests: AsyncIterable<PlacementsRequest>,
  line: SessionLine,
): AsyncIterable<PlacementsResponse> {
  const { signal } = line;
  const incoming = requests[Symbol.asyncIterator]();
  const { hello, rest } = await readHello(incoming, signal);
  const opened = await openSession(
    { sql: deps.sql, replicaId: deps.writer.replicaId, lease_ms: deps.lease_ms, onRevoked: deps.onRevoked },
    { caller, line },
    hello,
  );
  const session = createSession(caller, opened.number);
  session.send({ case: "welcome", value: toWelcome(deps, opened) });
  // What was bound before the hello is held, or goes back to pending: under its fence it is never sent again (I1).
  for (const row of opened.bound) session.sent.add(row.id, row.fence);
  deps.registry.add(session);
  const log = deps.log.child({ runner_id: caller.runnerId, session_number: String(opened.number) });
  log.info({ host: hello.machine?.host, held: hello.held.length }, "runner connected");
  const cancelExpiry = callAt(caller.expireTime, () =>
    session.end("IDENTITY_EXPIRED", "the certificate has expired", 0),
  );
  const { issueTime, expireTime } = opened.generation;
  const life = { issueTime_ms: issueTime.getTime(), expireTime_ms: expireTime.getTime() };
  const renewal_ms = renewalDue(life, deps.certificateTtl_ms, Date.now(), Math.random());
  const cancelRenewal = callAt(new Date(renewal_ms), () => session.send({ case: "renewIdentity", value: {} }));
  let left = false;
  const reading = (async () => {
    await repair(deps, session, opened);
    for (const message of rest) left = take(deps, session, message) || left;
    for (;;) {
      const next = await Promise.race([incoming.next(), session.ended]);
      if (!next || next.done) return;
      for (const message of next.value.messages) left = take(deps, session, message) || left;
      await deps.recorder.room();
    }
  })()
    .catch((error: unknown) => {
      if (signal.aborted) return;
      const known = error instanceof AgynError ? error : undefined;
      if (!known) log.warn({ err: error }, "runner stream broke");
      session.end(known?.reason ?? "UNAVAILABLE", known?.message ?? "the stream broke", 1000);
    })
    .finally(() => session.outbox.close());
  try {
    for await (const messages of session.outbox.batches()) yield create(PlacementsResponseSchema, { messages });
  } finally {
    cancelExpiry();
    cancelRenewal();
    session.outbox.close();
    deps.registry.remove(session);
    await reading;
    await deps.recorder.settled();
    // One that left, or may not come back, is offline at once; a lost link has until its lease ends.
    const isOffline = left || session.endReason === "IDENTITY_REVOKED" || session.endReason === "RUNNER_LOCKED";
    const wasLive = await deps.sql.begin(async (transaction) => {
      const isEnded = await endSession(transaction, caller.runnerId, opened.number, isOffline);
      const absence = { lease_ms: 0, writer: deps.writer.replicaId };
      if (isEnded && isOffline) await markUnreachable(transaction, [caller.runnerId], absence);
      return isEnded;
    });
    if (wasLive) deps.onRunnersChanged();
    log.info({ left }, "runner disconnected");
  }
}

async function readHello(
  incoming: AsyncIterator<PlacementsRequest>,
  signal: AbortSignal,
): Promise<{ hello: Hello; rest: RunnerMessage[] }> {
  const timeout = AbortSignal.any([signal, AbortSignal.timeout(helloTimeout_ms)]);
  const { promise, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(new AgynError("PROTOCOL", `no hello came within ${helloTimeout_ms} ms`));
  timeout.addEventListener("abort", onAbort, { once: true });
  const first = await Promise.race([incoming.next(), promise]).finally(() =>
    timeout.removeEventListener("abort", onAbort),
  );
  if (first.done) throw new AgynError("PROTOCOL", "the stream ended before its hello");
  const [message, ...rest] = first.value.messages;
  if (message?.kind.case !== "hello") throw new AgynError("PROTOCOL", "the first message of a session must be hello");
  return { hello: message.kind.value, rest };
}

function toWelcome(deps: SessionDeps, { number, runner }: OpenedSession) {
  return {
    sessionNumber: number,
    runnerId: runner.id,
    runnerName: runner.name,
    serverTime: timestampNow(),
    heartbeatInterval: durationFromMs(deps.heartbeat_ms),
    lease: durationFromMs(deps.lease_ms),
    lossMargin: durationFromMs(2 * deps.heartbeat_ms),
    metricsInterval: durationFromMs(deps.metricsInterval_ms),
    endpoints: deps.endpoints(),
    cluster: runner.organizationId === null,
    service: deps.overlayServices(runner.id)[0] ?? "",
  };
}

/** Repairs the difference between what is bound to the runner and what it holds. */
async function repair(
  deps: SessionDeps,
  session: RunnerSession,
  { runner, bound, repair: difference }: OpenedSession,
): Promise<void> {
  for (const { id, fence, phase, startTime } of difference.advance) {
    deps.recorder.advance(session, { id, fence, phase: phase as Advance["phase"], time: startTime ?? new Date() });
  }
  for (const { id, fence, result } of difference.end) deps.recorder.complete(session, { id, fence, result });
  for (const placement of difference.unplace) deps.recorder.takeBack(session, placement);
  await lose(deps, difference);
  for (const held of difference.unknown) await answerUnknown(deps, session, held);
  for (const row of bound) if (row.stopRequested) sendStop(session, row);
  if (runner.availability === "draining") session.drain();
  deps.onRunnersChanged();
}

async function lose(deps: SessionDeps, { lose: lost }: HelloRepair): Promise<void> {
  if (lost.length === 0) return;
  const message = "its runner reconnected without it";
  const endings = lost.map((one) => lostEnding(one, message, true));
  for (const one of await endWorkloads(deps.sql, deps.writer, endings)) {
    deps.fleet.vacate(one.id);
    const retry = one.retriedBy && (await getWorkload(deps.sql, one.retriedBy));
    if (retry) deps.placer.consider([retry]);
  }
}

/** What is held but not bound has ended, or belongs to an older fence. */
async function answerUnknown(
  deps: SessionDeps,
  session: RunnerSession,
  held: HelloRepair["unknown"][number],
): Promise<void> {
  const row = await getWorkload(deps.sql, held.id);
  const acknowledged =
    held.result !== null && row?.endTime && row.fence === held.fence && row.runnerId === session.runnerId;
  if (acknowledged) session.send({ case: "completionAcknowledged", value: { workloadId: held.id, fence: held.fence } });
  else
    session.send({
      case: "forget",
      value: { workloadId: held.id, fence: held.fence, reason: row ? "it has ended or moved on" : "it is not known" },
    });
}

/** Takes one message; answers whether the runner said that it leaves. */
function take(deps: SessionDeps, session: RunnerSession, { kind }: RunnerMessage): boolean {
  const { recorder } = deps;
  switch (kind.case) {
    case "heartbeat":
      recorder.heartbeat(session, kind.value.sequence);
      return false;
    case "accepted":
      recorder.advance(session, {
        id: kind.value.workloadId,
        fence: kind.value.fence,
        phase: "starting",
        time: new Date(),
      });
      return false;
    case "progress": {
      const time = toTime(kind.value.time) ?? new Date();
      recorder.advance(session, {
        id: kind.value.workloadId,
        fence: kind.value.fence,
        phase: phases[kind.value.phase - 1] as Advance["phase"],
        time,
      });
      return false;
    }
    case "rejected":
      recorder.reject(session, { id: kind.value.workloadId, fence: kind.value.fence, reason: kind.value.reason });
      return false;
    case "completed":
      recorder.complete(session, {
        id: kind.value.workloadId,
        fence: kind.value.fence,
        result: toResult(kind.value.result!),
      });
      return false;
    case "sessionConfirmed":
      confirmSession(deps.sql, session.runnerId, session.number).catch((error: unknown) =>
        deps.log.warn({ err: error }, "session not confirmed"),
      );
      return false;
    case "leaving":
      return true;
    case "hello":
      throw new AgynError("PROTOCOL", "hello comes once, at the start of a session");
    case undefined:
      return false;
  }
}

/** Sends what a connected runner is to be told of a workload: its placement, or its stop; each once in a session. */
export function tell(session: RunnerSession, row: WorkloadRow, masterKey: MasterKey): void {
  if (row.phase === "placed") sendPlacement(session, toPlacement(row), masterKey);
  if (row.stopRequested) sendStop(session, row);
}

/** Sends a placement once in a session. Throws where the record cannot be read; then nothing was sent. */
export function sendPlacement(session: RunnerSession, placement: Placement, masterKey: MasterKey): void {
  if (session.sent.has(placement.id, placement.fence)) return;
  const message = toPlaceMessage(placement, masterKey);
  session.sent.add(placement.id, placement.fence);
  session.send(message, placement.spec.length);
}

/** Asks a connected runner to stop a workload that it was sent; the same only once in a session. */
export function sendStop(session: RunnerSession, row: WorkloadHead): void {
  if (session.stopSent.get(row.id) === row.stopGrace_ms) return;
  session.stopSent.set(row.id, row.stopGrace_ms);
  const grace = row.stopGrace_ms === null ? {} : { grace: durationFromMs(row.stopGrace_ms) };
  session.send({ case: "stop", value: { workloadId: row.id, fence: row.fence, reason: row.stopReason, ...grace } });
}
