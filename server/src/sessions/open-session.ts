import type { Hello } from "../../../proto/gen/agyn/orchestrator/v1/placements_pb.ts";
import type { Caller } from "../domain/access.ts";
import { judgeEcho } from "../domain/clone-detection.ts";
import { AgynError } from "../domain/errors.ts";
import { refuseDeadIdentity, refuseEndedIdentity } from "../domain/identity.ts";
import { reconcileHello, type HelloRepair } from "../domain/reconcile-hello.ts";
import type { Sql } from "../store/database.ts";
import { findGeneration, useGeneration, type GenerationRow } from "../store/identities.ts";
import { lockClone } from "../store/runner-lock.ts";
import { beginSession } from "../store/runner-sessions.ts";
import { getRunner, lockRunner, type RunnerRow } from "../store/runners.ts";
import { listWorkloadsOfRunner, markReachable, type WorkloadHead } from "../store/workloads.ts";
import { toHeld, toReport } from "./hello.ts";

export type RunnerCaller = Extract<Caller, { kind: "runner" }>;

/** The stream over which a runner says hello. */
export type SessionLine = {
  /** Aborts when the stream has ended. */
  signal: AbortSignal;
  /** Whether the other end is there now; bounded in time. */
  answers: () => Promise<boolean>;
};

/** A session that the store has begun. */
export type OpenedSession = {
  number: bigint;
  runner: RunnerRow;
  generation: GenerationRow;
  bound: WorkloadHead[];
  repair: HelloRepair;
};

export type OpenSessionDeps = {
  sql: Sql;
  replicaId: string;
  lease_ms: number;
  /** Tells replicas that sessions are to end. */
  onRevoked: () => void;
};

/** What a runner keeps on its disk has at most 18 digits. */
const sessionNumberLimit = 10n ** 18n - 1n;

/** The runner protocol that this server speaks. */
const protocolVersion = 1;

/** How often another session of the runner may begin while this one is being opened. */
const openingTries = 3;

/**
 * Begins a session. A hello may have been held up for long, in this replica or before it, while its runner gave up, dialed again or
 * restarted; then what it says of workloads and sessions is no longer so. So it counts only where the runner shows that it is there,
 * after it was read which session is the last one: no clone is seen where there is none (I12), and nothing is taken from a later session
 * (I1).
 */
export async function openSession(
  deps: OpenSessionDeps,
  { caller, line }: { caller: RunnerCaller; line: SessionLine },
  hello: Hello,
): Promise<OpenedSession> {
  refuseUnspoken(hello);
  for (let tries = 0; tries < openingTries; tries += 1) {
    const last = (await getRunner(deps.sql, caller.runnerId))?.sessionNumber;
    if (!(await line.answers()) || line.signal.aborted)
      throw new AgynError("UNAVAILABLE", "the runner is gone that said hello");
    const outcome = await beginAfter(last, deps, caller, hello);
    if (outcome === "overtaken") continue;
    if (outcome === "clone" || outcome.supersedes) deps.onRevoked();
    if (outcome !== "clone") return outcome;
    throw new AgynError(
      "RUNNER_LOCKED",
      "two copies of this identity are live: the runner is locked until an operator unlocks it",
    );
  }
  throw new AgynError("UNAVAILABLE", "other sessions of this runner began at the same time");
}

function refuseUnspoken({ lastSessionNumber, protocolVersion: spoken }: Hello): void {
  if (lastSessionNumber > sessionNumberLimit)
    throw new AgynError("PROTOCOL", `last_session_number: must be at most ${sessionNumberLimit}`);
  if (spoken === protocolVersion) return;
  const refusal = `protocol version ${spoken} is not spoken here, only ${protocolVersion}`;
  throw new AgynError("PROTOCOL", `hello.protocol_version: ${refusal}`);
}

/**
 * In one transaction: checks the identity and its generation, finds clones (I12), gives the session its number, and compares what the
 * runner holds with what is bound to it. A clone locks the runner. Nothing happens where session `last` is not the last one.
 */
async function beginAfter(
  last: bigint | undefined,
  deps: OpenSessionDeps,
  caller: RunnerCaller,
  hello: Hello,
): Promise<(OpenedSession & { supersedes: boolean }) | "clone" | "overtaken"> {
  return deps.sql.begin(async (transaction) => {
    const runner = await lockRunner(transaction, caller.runnerId);
    if (!runner || runner.deleteTime !== null) throw new AgynError("IDENTITY_REVOKED", "the runner was deleted");
    if (runner.sessionNumber !== last) return "overtaken";
    const generation = await findGeneration(transaction, caller.spkiSha256);
    refuseEndedIdentity(runner, generation);
    const echo = judgeEcho(
      { echoed: hello.lastSessionNumber, instanceId: hello.instanceId },
      { confirmed: runner.confirmedSessionNumber, instanceId: runner.reported?.instanceId },
    );
    if (echo === "late") throw new AgynError("UNAVAILABLE", "a later session of this process has begun");
    if (echo === "clone") {
      await lockClone(
        transaction,
        runner,
        `it echoed session ${hello.lastSessionNumber}, but session ${runner.confirmedSessionNumber} was confirmed since`,
      );
      return "clone";
    }
    refuseDeadIdentity(runner, generation);
    refuseUnisolated(runner, hello);
    const number = bigger(runner.sessionNumber, hello.lastSessionNumber) + 1n;
    const supersedes = await useGeneration(transaction, generation);
    await beginSession(transaction, runner.id, {
      number,
      replicaId: deps.replicaId,
      lease_ms: deps.lease_ms,
      report: toReport(hello),
    });
    await markReachable(transaction, runner.id, deps.replicaId);
    const bound = await listWorkloadsOfRunner(transaction, runner.id);
    return { number, runner, generation, bound, supersedes, repair: reconcileHello(bound, hello.held.map(toHeld)) };
  });
}

function refuseUnisolated({ organizationId }: RunnerRow, { isolation, unsafeSharedUser }: Hello): void {
  if (organizationId !== null || isolation !== "none" || unsafeSharedUser) return;
  throw new AgynError(
    "STATE",
    "a cluster-scoped runner must isolate workloads: run it as root, or accept the risk with --unsafe-shared-user",
  );
}

function bigger(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}
