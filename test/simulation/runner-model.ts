import { create } from "@bufbuild/protobuf";
import { HelloSchema, LeavingSchema } from "../../proto/gen/agyn/orchestrator/v1/placements_pb.ts";
import { toHeldWorkload } from "../../runner/src/messages.ts";
import type { RunnerCaller } from "../../server/src/sessions/open-session.ts";
import type { Machine } from "./machine.ts";
import { createRunnerHoldings } from "./runner-holdings.ts";
import { openRunnerSession, type RunnerSession } from "./runner-session.ts";
import type { Simulation } from "./world.ts";
import { openStream } from "./stream.ts";

/*
 * A runner that decides by the runner's own code (`reconcile`, `judgeLoss`, `Usage`, the messages), on a machine that is made up: its
 * disk, its jobs, its clock and its links do what the seed says.
 */

/** One process of a runner; it is over when it says so, or when `crash` ends it. */
export interface RunnerProcess {
  /** Whether it is connected and holds nothing. */
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

export function startRunnerProcess(options: RunnerProcessOptions): RunnerProcess {
  const { simulation, machine, caller, slots } = options;
  const { chaos } = simulation;
  let isOver = false;
  let isDraining = false;
  let sessions: RunnerSession[] = [];
  let times = { heartbeatIntervalMs: 1_000, lossMarginMs: 2_000 };
  let contactMs = machine.contact?.bootId === String(machine.bootId) ? machine.contact.bootTimeMs : Date.now();

  /** Runs later, once the process is not frozen, unless it has ended. */
  const later = (delayMs: number, run: () => void): void => {
    void simulation.delay(delayMs, options.frozenUntil).then(() => {
      if (!isOver) run();
    });
  };
  const leaveWhenDrained = (): void => {
    if (!isDraining || holdings.size > 0 || isOver) return;
    for (const session of sessions)
      session.say({ case: "leaving", value: create(LeavingSchema, { reason: "the runner was drained" }) });
    exit();
  };
  const holdings = createRunnerHoldings({
    ...{ chaos, machine, slots, later },
    say: (kind) => sessions.forEach((session) => session.say(kind)),
    onApplied: leaveWhenDrained,
  });
  const toHello = () =>
    create(HelloSchema, {
      instanceId: options.instanceId,
      protocolVersion: 1,
      version: "0.0.0",
      lastSessionNumber: machine.sessionNumber,
      machine: { os: "linux", architecture: "x64", host: caller.runnerId, cpus: 2 },
      capacity: { slots },
      executors: ["simulated", "process"],
      foundCapabilities: options.found,
      isolation: "uid",
      held: holdings.wanted.map((holding) => toHeldWorkload(holding, 0)),
    });
  const refusal = () => {
    if (isDraining) return "it is draining";
    return chaos.hits(5) ? "it does not want to" : undefined;
  };

  const dial = (): void => {
    const replica = chaos.pickReplica();
    if (!replica) return later(chaos.backoff_ms(), dial);
    for (const other of sessions) other.succeed();
    const session = openRunnerSession({
      ...{ hello: toHello(), holdings, later, refusal },
      repeats: () => chaos.hits(4),
      openStream: (hears) =>
        openStream({
          ...{ simulation, replica, caller, ...hears },
          blockedUntil: () => Math.max(options.frozenUntil(), options.cutOffUntil()),
        }),
      onWelcome(welcomed, number) {
        machine.sessionNumber = number;
        for (const other of sessions) if (other !== welcomed) other.end();
      },
      onContact(sentAtMs, told) {
        times = told;
        contactMs = Math.max(contactMs, sentAtMs);
        machine.contact = { bootId: String(machine.bootId), bootTimeMs: contactMs, times };
      },
      onDrain() {
        isDraining = true;
        leaveWhenDrained();
      },
      onNote: (text) => simulation.note(`${caller.runnerId} ${text}`),
      onEnd(ended) {
        sessions = sessions.filter((one) => one !== ended);
        for (const other of sessions) other.carryOn();
        if (sessions.length === 0 && !isOver) later(chaos.backoff_ms(), redial);
      },
    });
    sessions.push(session);
  };
  const redial = (): void => {
    if (sessions.length === 0) dial();
  };
  const look = (): void => later(holdings.stopLost(Date.now() - contactMs, times), look);
  const exit = (): void => {
    if (isOver) return;
    isOver = true;
    for (const session of sessions) session.end();
    options.onExit();
  };

  holdings.adopt();
  look();
  dial();
  return {
    get isIdle() {
      return holdings.size === 0 && sessions.some((session) => session.isWelcome);
    },
    crash: exit,
    loseLink: () => sessions.forEach((session) => session.end()),
    renew: dial,
  };
}
