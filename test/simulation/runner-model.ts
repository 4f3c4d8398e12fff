import { create } from "@bufbuild/protobuf";
import {
  HelloSchema,
  HeartbeatSchema,
  LeavingSchema,
  SessionConfirmedSchema,
  type ControlMessage,
  type Place,
} from "../../proto/gen/agyn/orchestrator/v1/placements_pb.ts";
import { holdingKey, isLive, type Holding, type HoldingRef } from "../../runner/src/holding.ts";
import { judgeLoss } from "../../runner/src/loss.ts";
import { isSaying, toHeldWorkload, toMessage } from "../../runner/src/messages.ts";
import type { MessageKind } from "../../runner/src/outbox.ts";
import { toPlacement, toStopOrder } from "../../runner/src/placement.ts";
import { reconcile, repeated, type Action, type HoldingEvent } from "../../runner/src/reconcile.ts";
import { resultWithout } from "../../runner/src/results.ts";
import { SeenFences } from "../../runner/src/seen-fences.ts";
import { Usage } from "../../runner/src/usage.ts";
import { durationMs } from "../../runner/src/wire-time.ts";
import type { RunnerCaller } from "../../server/src/sessions/open-session.ts";
import { toHolding, type Job, type JobSpec, type Machine } from "./machine.ts";
import type { Simulation } from "./simulation.ts";
import { openStream } from "./stream.ts";

/*
 * A runner that decides by the runner's own code (`reconcile`, `judgeLoss`, `Usage`, the messages), on a machine that is made up: its
 * disk, its jobs, its clock and its links do what the seed says.
 */

/** One process of a runner; it is over when it says so, or when `crash` ends it. */
export interface RunnerProcess {
  readonly isIdle: boolean;
  /** Ends it at once; disk and jobs stay as they are. */
  crash(): void;
  /** Loses its link, and dials again. */
  loseLink(): void;
  /** Dials once more while its session stands, as for a renewed identity. */
  renew(): void;
}

export type RunnerProcessOptions = {
  simulation: Simulation;
  machine: Machine;
  caller: RunnerCaller;
  instanceId: string;
  slots: number;
  found: string[];
  /** Until when it does nothing, in ms since 1970. */
  frozenUntil: () => number;
  /** Until when nothing gets through to it, in ms since 1970. */
  cutOffUntil: () => number;
  onExit: () => void;
};

const welcomeTimeoutMs = 5_000;

type Session = {
  send(kind: MessageKind): void;
  end(): void;
  isSucceeded: boolean;
  hasIgnoredPlace: boolean;
  isWelcome: boolean;
};

export function startRunnerProcess(options: RunnerProcessOptions): RunnerProcess {
  const { simulation, machine, caller } = options;
  const { chaos } = simulation;
  const held = new Map<string, Holding>();
  const seen = new SeenFences();
  const usage = new Usage();
  const specs = new Map<string, JobSpec>();
  let isOver = false;
  let isDraining = false;
  let sessions: Session[] = [];
  let times = { heartbeatIntervalMs: 1_000, lossMarginMs: 2_000 };
  let contactMs = machine.contact?.bootId === String(machine.bootId) ? machine.contact.bootTimeMs : Date.now();

  /** Runs later, once the process is not frozen, unless it has ended. */
  const later = (delayMs: number, run: () => void): void => {
    void simulation.delay(delayMs, options.frozenUntil).then(() => {
      if (!isOver) run();
    });
  };

  const say = (kind: MessageKind): void => {
    for (const session of sessions) session.send(kind);
  };
  const apply = (workloadId: string, event: HoldingEvent): void => {
    if (isOver) return;
    const { holding, actions } = reconcile(held.get(workloadId), event, seen.of(workloadId));
    set(workloadId, holding);
    for (const action of actions) act(action);
    if (isDraining && held.size === 0) leave();
  };
  const set = (workloadId: string, holding: Holding | undefined): void => {
    usage.replace(held.get(workloadId), holding);
    if (holding === undefined) held.delete(workloadId);
    else held.set(workloadId, holding);
  };
  const act = (action: Action): void => {
    if (isSaying(action)) return say(toMessage(action));
    switch (action.kind) {
      case "record":
        return later(chaos.diskDelay_ms(), () => record(action.placement));
      case "start":
        return later(chaos.startDelay_ms(), () => start(action));
      case "stop":
        return machine.jobs.get(holdingKey(action))?.stop(action.order.graceMs);
      case "remove":
        machine.disk.delete(holdingKey(action));
        return machine.forgetJob(action);
      case "note_stopped":
        return keep(action, { stop: action.order });
      case "note_completed":
        keep(action, { result: action.result });
        return settleLog(action);
      case "note_acknowledged":
        return keep(action, { acknowledged: true });
      case "drop_log":
        return undefined;
    }
  };
  const keep = (of: HoldingRef, change: object): void => {
    const kept = machine.disk.get(holdingKey(of));
    if (kept) machine.disk.set(holdingKey(of), { ...kept, ...change });
  };
  const settleLog = ({ workloadId, fence }: HoldingRef): void =>
    later(chaos.below(500), () => apply(workloadId, { kind: "log_settled", fence }));
  const record = (placement: Holding["placement"]): void => {
    const { workloadId, fence } = placement;
    if (chaos.hits(3)) return apply(workloadId, { kind: "not_recorded", fence, reason: "the disk is full" });
    machine.disk.set(holdingKey(placement), { placement, acknowledged: false });
    apply(workloadId, { kind: "recorded", fence });
  };
  const start = (of: HoldingRef): void => {
    const placement = machine.disk.get(holdingKey(of))?.placement;
    if (placement) takeUp(machine.startJob(placement, specs.get(holdingKey(of))!));
  };
  const takeUp = (job: Job): void => {
    const { workloadId, fence } = job;
    const holding = held.get(workloadId);
    apply(workloadId, { kind: "started", fence, startTimeMs: job.startTimeMs });
    if (holding?.placement.fence !== fence) job.stop(0);
    else if (holding.stop !== undefined) job.stop(holding.stop.graceMs);
    job.onEnd((result) => later(0, () => apply(workloadId, { kind: "ended", fence, result })));
  };

  const place = (message: Place): void => {
    const placement = toPlacement(message);
    const command = message.spec!.command;
    const spec = command.case === "simulation" ? command.value : undefined;
    specs.set(holdingKey(placement), {
      durationMs: spec?.duration ? durationMs(spec.duration) : 0,
      exitCode: spec?.exitCode ?? 0,
    });
    const refusal = isDraining
      ? "it is draining"
      : (usage.shortage(placement.resources, { slots: options.slots }) ??
        (chaos.hits(5) ? "it does not want to" : undefined));
    apply(placement.workloadId, { kind: "place", placement, refusal });
    seen.add(placement);
  };

  const openSession = (): void => {
    const replica = chaos.pickReplica();
    if (!replica) return later(chaos.backoff_ms(), openSession);
    let sequence = 0n;
    const waiting: MessageKind[] = [];
    const sentAt = new Map<bigint, number>();
    const helloAtMs = Date.now();
    for (const other of sessions) other.isSucceeded = true;
    const forget = (): void => {
      sessions = sessions.filter((one) => one !== session);
    };
    const over = (): void => {
      if (!sessions.includes(session)) return;
      session.end();
      for (const other of sessions) {
        other.isSucceeded = false;
        if (other.hasIgnoredPlace) other.end();
      }
      if (sessions.length === 0) later(chaos.backoff_ms(), openSession);
    };
    const session: Session = {
      isSucceeded: false,
      hasIgnoredPlace: false,
      isWelcome: false,
      send(kind) {
        if (!session.isWelcome) waiting.push(kind);
        else {
          stream.send(kind);
          if (chaos.hits(4)) stream.send(kind);
        }
      },
      end() {
        forget();
        stream.close();
      },
    };
    const beat = (): void => {
      if (!sessions.includes(session)) return;
      if (Date.now() - lastAcknowledgedMs > 3_000) return over();
      sequence += 1n;
      sentAt.set(sequence, Date.now());
      stream.send({ case: "heartbeat", value: create(HeartbeatSchema, { sequence }) });
      later(times.heartbeatIntervalMs, beat);
    };
    let lastAcknowledgedMs = helloAtMs;
    const contact = (sentAtMs: number): void => {
      lastAcknowledgedMs = Math.max(lastAcknowledgedMs, sentAtMs);
      contactMs = Math.max(contactMs, sentAtMs);
      machine.contact = { bootId: String(machine.bootId), bootTimeMs: contactMs, times };
    };
    const hear = (kind: ControlMessage["kind"]): void => {
      if (isOver || !sessions.includes(session)) return undefined;
      switch (kind.case) {
        case "welcome": {
          const { sessionNumber, heartbeatInterval, lossMargin } = kind.value;
          times = { heartbeatIntervalMs: durationMs(heartbeatInterval!), lossMarginMs: durationMs(lossMargin!) };
          machine.sessionNumber = sessionNumber;
          session.isWelcome = true;
          for (const other of sessions) if (other !== session) other.end();
          stream.send({ case: "sessionConfirmed", value: create(SessionConfirmedSchema, { sessionNumber }) });
          for (const said of waiting.splice(0)) if (said.case !== "completed") session.send(said);
          const results = [...held.values()].flatMap(repeated).filter(isSaying);
          for (const action of results) session.send(toMessage(action));
          contact(helloAtMs);
          return later(times.heartbeatIntervalMs, beat);
        }
        case "heartbeatAcknowledged":
          return contact(sentAt.get(kind.value.sequence) ?? 0);
        case "place":
          if (session.isSucceeded) session.hasIgnoredPlace = true;
          else place(kind.value);
          return undefined;
        case "stop": {
          const { workloadId, fence } = kind.value;
          const order = toStopOrder(kind.value, held.get(workloadId)?.placement);
          return apply(workloadId, { kind: "stop", fence, order });
        }
        case "forget":
          return apply(kind.value.workloadId, { kind: "forget", fence: kind.value.fence });
        case "completionAcknowledged":
          return apply(kind.value.workloadId, { kind: "completion_acknowledged", fence: kind.value.fence });
        case "drain":
          isDraining = true;
          return held.size === 0 ? leave() : undefined;
        case "disconnect":
          simulation.note(`${caller.runnerId} hears ${kind.value.reason}: ${kind.value.message}`);
          return undefined;
        default:
          return undefined;
      }
    };
    const stream = openStream({
      simulation,
      replica,
      caller,
      blockedUntil: () => Math.max(options.frozenUntil(), options.cutOffUntil()),
      onHeard: hear,
      onEnded: over,
    });
    sessions.push(session);
    const hello = create(HelloSchema, {
      instanceId: options.instanceId,
      protocolVersion: 1,
      version: "0.0.0",
      lastSessionNumber: machine.sessionNumber,
      machine: { os: "linux", architecture: "x64", host: caller.runnerId, cpus: 2 },
      capacity: { slots: options.slots },
      executors: ["simulated"],
      foundCapabilities: options.found,
      isolation: "uid",
      held: [...held.values()].filter(({ forgotten }) => !forgotten).map((holding) => toHeldWorkload(holding, 0)),
    });
    stream.send({ case: "hello", value: hello });
    later(welcomeTimeoutMs, () => {
      if (!session.isWelcome) over();
    });
  };

  const look = (): void => {
    let nextMs = 1_000;
    for (const holding of held.values()) {
      const verdict = judgeLoss(holding, Date.now() - contactMs, times);
      if (verdict.kind === "later") nextMs = Math.min(nextMs, Math.max(20, verdict.inMs));
      if (verdict.kind !== "now" || holding.stop?.cause === "lost") continue;
      const { workloadId, fence } = holding.placement;
      apply(workloadId, { kind: "stop", fence, order: verdict.order });
    }
    later(nextMs, look);
  };
  const adopt = (): void => {
    for (const kept of machine.disk.values()) {
      set(kept.placement.workloadId, toHolding(kept));
      seen.add(kept.placement);
      if (kept.result) settleLog(kept.placement);
    }
    for (const job of machine.jobs.values()) takeUp(job);
    for (const { placement } of [...held.values()].filter(isLive)) {
      if (machine.jobs.has(holdingKey(placement))) continue;
      const result = resultWithout("lost", "the runner ended and the workload with it");
      apply(placement.workloadId, { kind: "ended", fence: placement.fence, result });
    }
  };
  const leave = (): void => {
    if (isOver) return;
    for (const session of sessions)
      session.send({ case: "leaving", value: create(LeavingSchema, { reason: "the runner was drained" }) });
    exit();
  };
  const exit = (): void => {
    isOver = true;
    for (const session of sessions) session.end();
    options.onExit();
  };

  adopt();
  look();
  openSession();
  return {
    get isIdle() {
      return held.size === 0 && sessions.some((session) => session.isWelcome);
    },
    crash: exit,
    loseLink() {
      for (const session of sessions) session.end();
      later(chaos.backoff_ms(), openSession);
    },
    renew: openSession,
  };
}
