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
import { lockRunner, type RunnerRow } from "../store/runners.ts";
import { listWorkloadsOfRunner, markReachable, type WorkloadRow } from "../store/workloads.ts";
import { toHeld, toReport } from "./hello.ts";

export type RunnerCaller = Extract<Caller, { kind: "runner" }>;

/** A session that the store has begun. */
export type OpenedSession = {
  number: bigint;
  runner: RunnerRow;
  generation: GenerationRow;
  bound: WorkloadRow[];
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

/**
 * Begins a session in one transaction: checks the identity and its generation, finds clones (I12), gives the session its number, and
 * compares what the runner holds with what is bound to it. A clone locks the runner; that is committed, then thrown.
 */
export async function openSession(deps: OpenSessionDeps, caller: RunnerCaller, hello: Hello): Promise<OpenedSession> {
  if (hello.lastSessionNumber > sessionNumberLimit)
    throw new AgynError("PROTOCOL", `last_session_number: must be at most ${sessionNumberLimit}`);
  if (hello.protocolVersion !== protocolVersion) {
    const spoken = `protocol version ${hello.protocolVersion} is not spoken here, only ${protocolVersion}`;
    throw new AgynError("PROTOCOL", `hello.protocol_version: ${spoken}`);
  }
  const outcome = await deps.sql.begin(async (transaction) => {
    const runner = await lockRunner(transaction, caller.runnerId);
    if (!runner || runner.deleteTime !== null) throw new AgynError("IDENTITY_REVOKED", "the runner was deleted");
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
      return undefined;
    }
    refuseDeadIdentity(runner, generation);
    if (runner.organizationId === null && hello.isolation === "none" && !hello.unsafeSharedUser) {
      throw new AgynError(
        "STATE",
        "a cluster-scoped runner must isolate workloads: run it as root, or accept the risk with --unsafe-shared-user",
      );
    }
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
  if (!outcome || outcome.supersedes) deps.onRevoked();
  if (!outcome)
    throw new AgynError(
      "RUNNER_LOCKED",
      "two copies of this identity are live: the runner is locked until an operator unlocks it",
    );
  return outcome;
}

function bigger(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}
