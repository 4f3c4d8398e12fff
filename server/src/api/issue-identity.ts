import type { KeyObject } from "node:crypto";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { HandlerContext } from "@connectrpc/connect";
import { AgynError } from "../domain/errors.ts";
import type { AttemptLimiter } from "../identity/attempt-limiter.ts";
import type { Authority } from "../identity/authority.ts";
import { readCsr } from "../identity/certificate-request.ts";
import { insertAuditEvent } from "../store/audit-events.ts";
import type { Sql, SqlOrTransaction } from "../store/database.ts";
import * as identities from "../store/identities.ts";
import type { GenerationRow } from "../store/identities.ts";
import { getRunner, scopeOf, type RunnerRow } from "../store/runners.ts";
import { sourceKey } from "./context.ts";
import { toIdentityProto } from "./runner-proto.ts";
import type { Turns } from "./turns.ts";

/** What enrollment and renewal share. */
export type IssueDeps = {
  sql: Sql;
  authority: Authority;
  /** Shared by all replicas, so that a nonce of one is good at another. */
  nonceKey: Uint8Array;
  certificateTtl_ms: number;
  onRunnersChanged: () => void;
  /** Tells replicas that sessions are to end. */
  onRevoked: () => void;
  /** Bounds what one address may try. */
  attempts: AttemptLimiter;
  /** One attempt on a runner at a time: clients of one token would each hold a connection while they wait for its row (I13). */
  turns: Turns;
};

/** A certificate request whose key has been read. */
export type IssueOrder = { csr: Uint8Array; publicKey: KeyObject };

const liveSessionRetry_ms = 5_000;

/** Issues a generation of an identity and stores it. */
export async function issueGeneration(
  deps: IssueDeps,
  transaction: SqlOrTransaction,
  runner: RunnerRow,
  order: IssueOrder & { identityId: string; generation: bigint },
): Promise<GenerationRow> {
  const { identityId, generation, csr } = order;
  const issueTime = new Date();
  const issued = await deps.authority.issueRunnerCertificate({
    csr,
    scope: scopeOf(runner),
    runnerId: runner.id,
    identityId,
    generation: Number(generation),
    now: issueTime,
    ttl_ms: deps.certificateTtl_ms,
  });
  if ("error" in issued) throw new AgynError("CSR_INVALID", `csr: ${issued.error}`);
  const { spkiSha256, serial, chainPem, notAfter: expireTime } = issued;
  await identities.insertGeneration(transaction, {
    identityId,
    generation,
    spkiSha256,
    serial,
    chainPem,
    issueTime,
    expireTime,
  });
  return (await identities.findGeneration(transaction, spkiSha256))!;
}

/** The answer that carries an issued certificate. */
export function toIssuedIdentity({ authority }: IssueDeps, runner: RunnerRow, row: GenerationRow) {
  const renewTime = new Date((row.issueTime.getTime() + row.expireTime.getTime()) / 2);
  return {
    identity: {
      identity: toIdentityProto(authority.trustDomain, runner, row),
      chainPem: row.chainPem,
      trustBundlePem: authority.trustBundle,
      renewTime: timestampFromDate(renewTime),
    },
  };
}

/** The key of a certificate request that is signed by it. */
export async function keyOfCsr(csr: Uint8Array): Promise<KeyObject> {
  const read = await readCsr(csr);
  if ("error" in read) throw new AgynError("CSR_INVALID", `csr: ${read.error}`);
  return read.publicKey;
}

/**
 * The incumbent stays, so that a token thief can lock out nobody who is connected (I12). One whose link broke, or whose
 * server was restarted, keeps its place until its lease has run out, unless its identity was revoked.
 */
export async function refuseLiveSession(transaction: SqlOrTransaction, runner: RunnerRow): Promise<void> {
  if (!runner.isLeased || !(await identities.hasCurrentIdentity(transaction, runner.id))) return;
  throw new AgynError(
    "RUNNER_HAS_LIVE_SESSION",
    `runner ${runner.name} is connected from elsewhere: this one may enroll when that one has left`,
    { retryAfter_ms: liveSessionRetry_ms },
  );
}

export type Attempt = { context: HandlerContext; action: string; runnerId: string; details?: Record<string, string> };

function refuseFlood(attempts: AttemptLimiter, source: string): void {
  const wait_ms = attempts.take(source);
  if (wait_ms === 0) return;
  const { burst, perSecond } = attempts;
  throw new AgynError("LIMIT", `too many enrollments from ${source}: ${burst} at once, ${perSecond} per second`, {
    retryAfter_ms: wait_ms,
  });
}

/** Every attempt on a known runner leaves one audit row, also a refused one; a flood is refused before that. */
export async function audited<T>({ sql, attempts }: IssueDeps, attempt: Attempt, run: () => Promise<T>): Promise<T> {
  refuseFlood(attempts, attempt.context.values.get(sourceKey));
  let outcome = "ok";
  try {
    return await run();
  } catch (error) {
    outcome = error instanceof AgynError ? error.reason : "INTERNAL";
    throw error;
  } finally {
    const runner = await getRunner(sql, attempt.runnerId);
    if (runner) {
      await insertAuditEvent(sql, {
        scope: scopeOf(runner),
        actor: runner.id,
        action: attempt.action,
        objectId: runner.id,
        objectName: runner.name,
        source: attempt.context.values.get(sourceKey),
        outcome,
        details: attempt.details ?? {},
      });
    }
  }
}
