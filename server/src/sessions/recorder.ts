import type { Logger } from "pino";
import { phaseRank, terminalPhaseOf, type WorkloadResult } from "../domain/workload.ts";
import type { FleetState } from "../loops/fleet-state.ts";
import type { Placer } from "../loops/placer.ts";
import type { Sql } from "../store/database.ts";
import { renewLeases } from "../store/runner-sessions.ts";
import {
  advanceWorkloads,
  endWorkloads,
  unplaceWorkloads,
  type Advance,
  type Ended,
  type Ending,
  type Unplacement,
  type Writer,
} from "../store/workload-transitions.ts";
import { filterEnded, listHeadsByKey } from "../store/workloads.ts";
import { takeoverRetry_ms, type RunnerSession } from "./session-registry.ts";

/*
 * What runners say of their workloads, gathered over all sessions and written in batches, one batch at a time:
 *   1. a session's messages are queued in their order; 2. a flush takes all that is queued; 3. of one workload only the furthest word counts;
 *   4. after the commit the sessions are answered (I4).
 */

/** A completion as a runner reports it. */
export type Completion = { id: string; fence: bigint; result: WorkloadResult };

/** Writes what runners say. */
export interface Recorder {
  advance(session: RunnerSession, advance: Omit<Advance, "runnerId">): void;
  complete(session: RunnerSession, completion: Completion): void;
  reject(session: RunnerSession, rejection: { id: string; fence: bigint; reason: string }): void;
  /** A placement that never reached the runner: it goes back to pending, and the runner may get it again. */
  takeBack(session: RunnerSession, placement: { id: string; fence: bigint }): void;
  heartbeat(session: RunnerSession, sequence: bigint): void;
  /** Waits while more is queued than the bound, so that a fast runner is slowed and no memory grows (I9). */
  room(): Promise<void>;
  /** Waits until what is queued now is written. */
  settled(): Promise<void>;
}

export type RecorderDeps = {
  sql: Sql;
  writer: Writer;
  fleet: FleetState;
  placer: Placer;
  log: Logger;
  lease_ms: number;
  rejectionExclusion_ms: number;
  /** Hears what ended, after the commit. */
  onEnded: (ended: readonly Ended[]) => void;
  /** Hears that something changed that watchers want to see. */
  onChanged: () => void;
};

/** By what `saidOf` answers: what one runner says of another's workload, or under another fence, displaces nothing (I5). */
type Queue = {
  advances: Map<string, Advance & { session: RunnerSession }>;
  completions: Map<string, Completion & { session: RunnerSession }>;
  rejections: (Unplacement & { session: RunnerSession })[];
  heartbeats: Map<RunnerSession, bigint>;
  /** Settles when all of it is written, or its sessions have ended. */
  written: PromiseWithResolvers<void>;
};

const queueLimit = 20_000;

/** Writes nothing until the first message of a session. */
export function createRecorder(deps: RecorderDeps): Recorder {
  const { sql, writer, fleet, placer, log } = deps;
  let queue = emptyQueue();
  let flushing: Promise<void> | undefined;
  let lastTaken: Queue | undefined;

  const schedule = () => {
    flushing ??= new Promise<void>((resolve) => setImmediate(resolve)).then(flushAll).finally(() => {
      flushing = undefined;
    });
  };
  const flushAll = async () => {
    while (sizeOf(queue) > 0) {
      const taken = queue;
      lastTaken = taken;
      queue = emptyQueue();
      try {
        await flush(taken);
      } catch (error) {
        log.error({ err: error }, "what runners said could not be written");
        for (const session of sessionsOf(taken))
          session.end("UNAVAILABLE", "the control plane could not write; say it again", 500);
      }
      taken.written.resolve();
    }
  };
  const flush = async (taken: Queue) => {
    await Promise.all([flushHeartbeats(taken), flushTransitions(taken)]);
  };
  const flushHeartbeats = async ({ heartbeats }: Queue) => {
    if (heartbeats.size === 0) return;
    const renewed = new Set(await renewLeases(sql, [...heartbeats.keys()], deps.lease_ms));
    for (const [session, sequence] of heartbeats) {
      if (renewed.has(session.runnerId)) session.send({ case: "heartbeatAcknowledged", value: { sequence } });
      else session.end("UNAVAILABLE", "this session is no longer the live one", takeoverRetry_ms);
    }
  };
  const flushTransitions = async ({ advances, completions, rejections }: Queue) => {
    if (advances.size > 0) await writeAdvances([...advances.values()]);
    if (rejections.length > 0) await writeRejections(rejections);
    if (completions.size > 0) await writeCompletions([...completions.values()]);
    if (advances.size + rejections.length + completions.size > 0) deps.onChanged();
  };
  const writeAdvances = async (advances: readonly (Advance & { session: RunnerSession })[]) => {
    const known = await advanceWorkloads(sql, writer, advances);
    for (const { id, fence, session } of advances) {
      if (known.has(id)) continue;
      session.sent.settle(id, fence);
      session.send({ case: "forget", value: { workloadId: id, fence, reason: "its fence is not the live one" } });
    }
  };
  const writeRejections = async (rejections: readonly (Unplacement & { session: RunnerSession })[]) => {
    const unplaced = await unplaceWorkloads(sql, writer, rejections);
    for (const { id } of unplaced) fleet.vacate(id);
    const keys = unplaced.map(({ key }) => key);
    const pending = await listHeadsByKey(sql, keys);
    for (const { session, id, fence } of rejections) session.sent.settle(id, fence);
    placer.consider(pending);
  };
  const writeCompletions = async (completions: readonly (Completion & { session: RunnerSession })[]) => {
    const ended = await endWorkloads(sql, writer, completions.map(toEnding));
    const byId = new Map(ended.map((one) => [one.id, one]));
    for (const one of ended) fleet.vacate(one.id);
    deps.onEnded(ended);
    const told = completions.map(({ session, id, fence }) => ({ session, id, fence, runnerId: session.runnerId }));
    const isNew = ({ id, fence, runnerId }: (typeof told)[number]) =>
      byId.get(id)?.runnerId === runnerId && byId.get(id)?.fence === fence;
    // A completion that is said again was lost on its way back: the first one stands.
    const before = await filterEnded(
      sql,
      told.filter((one) => !isNew(one)),
    );
    for (const one of told) {
      const { session, id, fence } = one;
      session.sent.settle(id, fence);
      if (isNew(one) || before.has(one))
        session.send({ case: "completionAcknowledged", value: { workloadId: id, fence } });
      else session.send({ case: "forget", value: { workloadId: id, fence, reason: "its fence is not the live one" } });
    }
  };

  const unplace = (session: RunnerSession, unplacement: Omit<Unplacement, "runnerId">) => {
    queue.rejections.push({ ...unplacement, runnerId: session.runnerId, session });
    schedule();
  };

  return {
    advance(session, advance) {
      const said = saidOf(session, advance);
      const earlier = queue.advances.get(said);
      const furthest = earlier && phaseRank(earlier.phase) >= phaseRank(advance.phase) ? earlier.phase : advance.phase;
      const time = earlier?.phase === "running" ? earlier.time : advance.time;
      if (!queue.completions.has(said))
        queue.advances.set(said, { ...advance, phase: furthest, time, runnerId: session.runnerId, session });
      schedule();
    },
    complete(session, completion) {
      const said = saidOf(session, completion);
      queue.advances.delete(said);
      if (!queue.completions.has(said)) queue.completions.set(said, { ...completion, session });
      schedule();
    },
    reject(session, { id, fence, reason }) {
      const message = `rejected by its runner: ${reason}`;
      unplace(session, { id, fence, message, excludeFor_ms: deps.rejectionExclusion_ms });
    },
    takeBack(session, { id, fence }) {
      unplace(session, { id, fence, message: "its runner reconnected without it", excludeFor_ms: 0 });
    },
    heartbeat(session, sequence) {
      queue.heartbeats.set(session, sequence);
      schedule();
    },
    async room() {
      while (sizeOf(queue) > queueLimit) await flushing;
    },
    async settled() {
      // Others may go on saying things for ever; what they queue later is not waited for.
      await (sizeOf(queue) > 0 ? queue : lastTaken)?.written.promise;
    },
  };
}

/** The ending that a completion leads to. */
export function toEnding(completion: Completion & { session: { runnerId: string } }): Ending {
  const { id, fence, result, session } = completion;
  const usual = terminalPhaseOf(result, false);
  const stopped = terminalPhaseOf(result, true);
  return {
    id,
    fence,
    runnerId: session.runnerId,
    ...usual,
    phaseIfStopped: stopped.phase,
    messageIfStopped: stopped.message,
    result,
    mayRetry: usual.phase === "failed" || usual.phase === "lost",
  };
}

function saidOf({ runnerId }: RunnerSession, { id, fence }: { id: string; fence: bigint }): string {
  return `${runnerId} ${id} ${fence}`;
}

function emptyQueue(): Queue {
  return {
    advances: new Map(),
    completions: new Map(),
    rejections: [],
    heartbeats: new Map(),
    written: Promise.withResolvers(),
  };
}

function sizeOf({ advances, completions, rejections, heartbeats }: Queue): number {
  return advances.size + completions.size + rejections.length + heartbeats.size;
}

function sessionsOf({ advances, completions, rejections, heartbeats }: Queue): Set<RunnerSession> {
  return new Set([
    ...heartbeats.keys(),
    ...[...advances.values(), ...completions.values(), ...rejections].map((one) => one.session),
  ]);
}
