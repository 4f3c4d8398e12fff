import {
  createHmac,
  createPublicKey,
  randomBytes,
  timingSafeEqual,
  X509Certificate,
  type KeyObject,
} from "node:crypto";
import { BlockList, isIP } from "node:net";
import { create, toBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import {
  EnrollmentOfferSchema,
  type EndpointSchema,
  type RunnersService,
} from "../../../proto/gen/agyn/runners/v1/runners_service_pb.ts";
import { signControlPlaneStatement } from "../../../wire/control-plane-statement.ts";
import { csrSpkiOf, verifyEnrollmentStatement } from "../../../wire/enrollment-statement.ts";
import { ed25519PublicKey, spkiSha256 } from "../../../wire/keys.ts";
import { AgynError } from "../domain/errors.ts";
import type { Authority, ControlPlaneLeaf } from "../identity/authority.ts";
import { readCsr } from "../identity/certificate-request.ts";
import { lockClone, refuseDeadIdentity } from "../sessions/open-session.ts";
import { insertAuditEvent } from "../store/audit-events.ts";
import type { Sql, SqlOrTransaction } from "../store/database.ts";
import * as identities from "../store/identities.ts";
import type { GenerationRow } from "../store/identities.ts";
import { bindIdentity, getRunner, lockRunner, scopeOf, type RunnerRow } from "../store/runners.ts";
import { runnerOf, sourceKey } from "./context.ts";
import { toIdentityProto } from "./runner-proto.ts";

export type EnrollmentDeps = {
  sql: Sql;
  authority: Authority;
  controlPlaneLeaf: () => ControlPlaneLeaf;
  /** Shared by all replicas, so that a nonce of one is good at another. */
  nonceKey: Uint8Array;
  endpoints: () => MessageInitShape<typeof EndpointSchema>[];
  certificateTtl_ms: number;
  expiredRenewal_ms: number;
  onRunnersChanged: () => void;
  onRevoked: () => void;
  onEnrolled: () => void;
};

type Enrollment = Pick<
  ServiceImpl<typeof RunnersService>,
  "startEnrollment" | "enroll" | "renewExpiredIdentity" | "renewIdentity"
>;

const nonceLifetime_ms = 5 * 60_000;
const liveSessionRetry_ms = 5_000;

/** How a runner gets its identity, and keeps it. */
export function createEnrollment(deps: EnrollmentDeps): Enrollment {
  const { sql, authority } = deps;

  const issue = async (
    transaction: SqlOrTransaction,
    runner: RunnerRow,
    order: { csr: Uint8Array; publicKey: KeyObject; identityId: string; generation: bigint },
  ) => {
    const now = new Date();
    const issued = await authority.issueRunnerCertificate({
      csr: order.csr,
      scope: scopeOf(runner),
      runnerId: runner.id,
      identityId: order.identityId,
      generation: Number(order.generation),
      now,
      ttl_ms: deps.certificateTtl_ms,
    });
    if ("error" in issued) throw new AgynError("CSR_INVALID", `csr: ${issued.error}`);
    const { identityId, generation } = order;
    const { spkiSha256: spki, serial, chainPem, notAfter } = issued;
    await identities.insertGeneration(transaction, {
      identityId,
      generation,
      spkiSha256: spki,
      serial,
      chainPem,
      issueTime: now,
      expireTime: notAfter,
    });
    return (await identities.findGeneration(transaction, spki))!;
  };
  const reply = (runner: RunnerRow, row: GenerationRow) => {
    const renewTime = new Date((row.issueTime.getTime() + row.expireTime.getTime()) / 2);
    const identity = toIdentityProto(authority.trustDomain, runner, row);
    return {
      identity: {
        identity,
        chainPem: row.chainPem,
        trustBundlePem: authority.trustBundle,
        renewTime: timestampFromDate(renewTime),
      },
    };
  };
  /** Every attempt on a known runner leaves one audit row, also a refused one. */
  const audited = async <T>(
    context: HandlerContext,
    action: string,
    runnerId: string,
    attempt: () => Promise<T>,
    details: Record<string, string> = {},
  ): Promise<T> => {
    let outcome = "ok";
    try {
      return await attempt();
    } catch (error) {
      outcome = error instanceof AgynError ? error.reason : "INTERNAL";
      throw error;
    } finally {
      const runner = await getRunner(sql, runnerId);
      if (runner) {
        const source = context.values.get(sourceKey);
        await insertAuditEvent(sql, {
          scope: scopeOf(runner),
          actor: runner.id,
          action,
          objectId: runner.id,
          objectName: runner.name,
          source,
          outcome,
          details,
        });
      }
    }
  };

  return {
    startEnrollment(request) {
      const expireTime = new Date(Date.now() + nonceLifetime_ms);
      const leaf = deps.controlPlaneLeaf();
      const offer = toBinary(
        EnrollmentOfferSchema,
        create(EnrollmentOfferSchema, {
          trustDomain: authority.trustDomain,
          runnerId: request.runnerId,
          nonce: createNonce(deps.nonceKey, request.runnerId, expireTime),
          expireTime: timestampFromDate(expireTime),
          trustBundlePem: authority.trustBundle,
          endpoints: deps.endpoints(),
        }),
      );
      return { offer, signature: signControlPlaneStatement(offer, leaf.key), chainPem: leaf.fullChainPem };
    },

    async enroll(request, context) {
      return audited(
        context,
        "runner.enroll",
        request.runnerId,
        () => enroll(request, context.values.get(sourceKey)),
        request.host === "" ? {} : { host: request.host },
      );
    },

    async renewExpiredIdentity(request, context) {
      return audited(context, "runner.renew_expired", request.runnerId, () => renewExpired(request));
    },

    async renewIdentity(request, context) {
      const caller = runnerOf(context);
      const publicKey = await keyOfCsr(request.csr);
      const outcome = await sql.begin(async (transaction) => {
        const runner = await lockRunner(transaction, caller.runnerId);
        const current = await identities.findGeneration(transaction, caller.spkiSha256);
        if (!runner || !current) throw new AgynError("IDENTITY_REVOKED", "this identity is not known here");
        return renew(transaction, runner, current, { csr: request.csr, publicKey });
      });
      return answerRenewal(outcome);
    },
  };

  async function enroll(request: Parameters<Enrollment["enroll"]>[0], source: string) {
    checkNonce(deps.nonceKey, request.runnerId, request.nonce);
    const publicKey = await keyOfCsr(request.csr);
    const outcome = await sql.begin(async (transaction) => {
      const runner = await lockRunner(transaction, request.runnerId);
      const statement = {
        purpose: "enroll",
        trustDomain: authority.trustDomain,
        runnerId: request.runnerId,
        nonce: request.nonce,
        csrSpki: csrSpkiOf(publicKey),
      } as const;
      if (
        !runner ||
        runner.deleteTime !== null ||
        !verifyEnrollmentStatement(statement, ed25519PublicKey(runner.tokenPublicKey), request.signature)
      ) {
        throw new AgynError(
          "SERVICE_TOKEN_INVALID",
          "the service token is not valid: it may have been rotated, or its runner deleted",
        );
      }
      refuseTokenUse(runner, source);
      const known = await identities.findGeneration(transaction, spkiSha256(publicKey).toString("hex"));
      if (known) {
        if (known.runnerId !== runner.id) throw new AgynError("CSR_INVALID", "csr: its key belongs to another runner");
        refuseDeadIdentity(runner, known);
        return { runner, row: known };
      }
      if (runner.tokenMaximumUses > 0 && runner.tokenUses >= runner.tokenMaximumUses) {
        throw new AgynError(
          "SERVICE_TOKEN_REFUSED",
          `the service token has been used ${runner.tokenUses} of ${runner.tokenMaximumUses} times: rotate it`,
        );
      }
      refuseLiveSession(runner);
      const identityId = await identities.insertIdentity(transaction, runner.id, spkiSha256(publicKey).toString("hex"));
      const row = await issue(transaction, runner, { csr: request.csr, publicKey, identityId, generation: 1n });
      await bindIdentity(transaction, runner.id, identityId);
      return { runner, row };
    });
    deps.onEnrolled();
    deps.onRunnersChanged();
    return reply(outcome.runner, outcome.row);
  }

  async function renewExpired(request: Parameters<Enrollment["renewExpiredIdentity"]>[0]) {
    checkNonce(deps.nonceKey, request.runnerId, request.nonce);
    const publicKey = await keyOfCsr(request.csr);
    const expiredKey = readCertificateKey(request.certificatePem);
    const statement = {
      purpose: "renew-expired-identity",
      trustDomain: authority.trustDomain,
      runnerId: request.runnerId,
      nonce: request.nonce,
      csrSpki: csrSpkiOf(publicKey),
    } as const;
    if (!verifyEnrollmentStatement(statement, expiredKey, request.signature)) {
      throw new AgynError("UNAUTHENTICATED", "the signature is not by the key of the certificate");
    }
    const outcome = await sql.begin(async (transaction) => {
      const runner = await lockRunner(transaction, request.runnerId);
      const current = await identities.findGeneration(transaction, spkiSha256(expiredKey).toString("hex"));
      if (!runner || runner.deleteTime !== null || !current || current.runnerId !== runner.id) {
        throw new AgynError("IDENTITY_REVOKED", "this identity is not known here: enroll with the service token");
      }
      if (current.expireTime.getTime() + deps.expiredRenewal_ms < Date.now()) {
        throw new AgynError(
          "IDENTITY_EXPIRED",
          "the identity expired too long ago to be renewed: enroll with the service token",
        );
      }
      refuseLiveSession(runner);
      return renew(transaction, runner, current, { csr: request.csr, publicKey });
    });
    return answerRenewal(outcome);
  }

  /** The next generation of an identity; the same key again gets the same answer. An old generation that asks is a clone (I12). */
  async function renew(
    transaction: SqlOrTransaction,
    runner: RunnerRow,
    current: GenerationRow,
    order: { csr: Uint8Array; publicKey: KeyObject },
  ) {
    const known = await identities.findGeneration(transaction, spkiSha256(order.publicKey).toString("hex"));
    if (known && known.identityId !== current.identityId)
      throw new AgynError("CSR_INVALID", "csr: its key belongs to another identity");
    if (
      current.state === "current" &&
      runner.availability !== "locked" &&
      current.generation < current.usedGeneration
    ) {
      await lockClone(
        transaction,
        runner,
        `generation ${current.generation} asked to renew after generation ${current.usedGeneration} was used`,
      );
      return "clone" as const;
    }
    refuseDeadIdentity(runner, current);
    if (known) return { runner, row: known };
    const latest = await identities.getLatestGeneration(transaction, current.identityId);
    const generation = (latest?.generation ?? current.generation) + 1n;
    const row = await issue(transaction, runner, { ...order, identityId: current.identityId, generation });
    await insertAuditEvent(transaction, {
      scope: scopeOf(runner),
      actor: runner.id,
      action: "runner.renew",
      objectId: runner.id,
      objectName: runner.name,
      outcome: "ok",
      details: { generation: String(generation) },
    });
    return { runner, row };
  }

  function answerRenewal(outcome: Awaited<ReturnType<typeof renew>>) {
    if (outcome !== "clone") return reply(outcome.runner, outcome.row);
    deps.onRevoked();
    deps.onRunnersChanged();
    throw new AgynError(
      "RUNNER_LOCKED",
      "two copies of this identity are live: the runner is locked until an operator unlocks it",
    );
  }
}

async function keyOfCsr(csr: Uint8Array): Promise<KeyObject> {
  const read = await readCsr(csr);
  if ("error" in read) throw new AgynError("CSR_INVALID", `csr: ${read.error}`);
  return read.publicKey;
}

function readCertificateKey(pem: string): KeyObject {
  try {
    return createPublicKey(new X509Certificate(pem).publicKey.export({ type: "spki", format: "pem" }));
  } catch {
    throw new AgynError("UNAUTHENTICATED", "certificate_pem: it cannot be read");
  }
}

function refuseTokenUse(runner: RunnerRow, source: string): void {
  if (runner.availability === "locked")
    throw new AgynError("RUNNER_LOCKED", `the runner is locked: ${runner.availabilityReason}`);
  if (runner.tokenExpireTime && runner.tokenExpireTime.getTime() < Date.now()) {
    throw new AgynError("SERVICE_TOKEN_REFUSED", "the service token has expired: rotate it");
  }
  if (runner.tokenSourceCidrs.length > 0 && !isWithin(source, runner.tokenSourceCidrs)) {
    throw new AgynError("SERVICE_TOKEN_REFUSED", `the service token must not be used from ${source}`);
  }
}

/** The incumbent stays, so that a token thief can lock out nobody who is connected (I12). */
function refuseLiveSession(runner: RunnerRow): void {
  if (runner.sessionReplicaId === null || runner.leaseTime === null || runner.leaseTime.getTime() < Date.now()) return;
  throw new AgynError(
    "RUNNER_HAS_LIVE_SESSION",
    `runner ${runner.name} is connected from elsewhere: this one may enroll when that one has left`,
    {
      retryAfter_ms: liveSessionRetry_ms,
    },
  );
}

/** Whether an address lies in one of the CIDRs. */
export function isWithin(address: string, cidrs: readonly string[]): boolean {
  const plain = address.startsWith("::ffff:") ? address.slice(7) : address;
  const list = new BlockList();
  for (const cidr of cidrs) {
    const [network = "", bits] = cidr.split("/");
    const family = isIP(network) === 6 ? "ipv6" : "ipv4";
    list.addSubnet(network, bits === undefined ? (family === "ipv6" ? 128 : 32) : Number(bits), family);
  }
  return list.check(plain, isIP(plain) === 6 ? "ipv6" : "ipv4");
}

/** Expiry (8 bytes), 16 random bytes, and a MAC over both and the runner's id: no replica need remember it. */
function createNonce(key: Uint8Array, runnerId: string, expireTime: Date): Uint8Array {
  const head = Buffer.concat([Buffer.alloc(8), randomBytes(16)]);
  head.writeBigUInt64BE(BigInt(expireTime.getTime()));
  return Buffer.concat([head, nonceMac(key, runnerId, head)]);
}

function checkNonce(key: Uint8Array, runnerId: string, nonce: Uint8Array): void {
  const bytes = Buffer.from(nonce);
  const valid =
    bytes.length === 56 && timingSafeEqual(nonceMac(key, runnerId, bytes.subarray(0, 24)), bytes.subarray(24));
  if (!valid) throw new AgynError("NONCE_INVALID", "nonce: it was not given to this runner by this control plane");
  if (Number(bytes.readBigUInt64BE(0)) < Date.now())
    throw new AgynError("NONCE_INVALID", "nonce: it is too old; start again");
}

function nonceMac(key: Uint8Array, runnerId: string, head: Uint8Array): Buffer {
  return createHmac("sha256", key).update("agyn enrollment nonce").update(runnerId).update(head).digest();
}
