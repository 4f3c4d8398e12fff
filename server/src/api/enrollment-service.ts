import { create, toBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  EnrollmentOfferSchema,
  type EndpointSchema,
  type EnrollRequest,
  type RunnersService,
} from "../../../proto/gen/agyn/runners/v1/runners_service_pb.ts";
import { signControlPlaneStatement } from "../../../wire/control-plane-statement.ts";
import { csrSpkiOf, verifyEnrollmentStatement } from "../../../wire/enrollment-statement.ts";
import { ed25519PublicKey, spkiSha256 } from "../../../wire/keys.ts";
import { AgynError } from "../domain/errors.ts";
import { refuseDeadIdentity } from "../domain/identity.ts";
import type { ControlPlaneLeaf } from "../identity/authority.ts";
import { checkNonce, createNonce } from "../identity/nonce.ts";
import { isWithin } from "../identity/source-address.ts";
import * as identities from "../store/identities.ts";
import { bindIdentity, lockRunner, type RunnerRow } from "../store/runners.ts";
import { sourceKey } from "./context.ts";
import {
  audited,
  issueGeneration,
  keyOfCsr,
  refuseLiveSession,
  toIssuedIdentity,
  type IssueDeps,
} from "./issue-identity.ts";

export type EnrollmentDeps = IssueDeps & {
  controlPlaneLeaf: () => ControlPlaneLeaf;
  endpoints: () => MessageInitShape<typeof EndpointSchema>[];
  onEnrolled: () => void;
};

const nonceLifetime_ms = 5 * 60_000;

/** How a runner gets its identity. */
export function createEnrollment(
  deps: EnrollmentDeps,
): Pick<ServiceImpl<typeof RunnersService>, "startEnrollment" | "enroll"> {
  const { sql, authority } = deps;
  return {
    startEnrollment(request) {
      const expireTime = new Date(Date.now() + nonceLifetime_ms);
      const leaf = deps.controlPlaneLeaf();
      const offer = create(EnrollmentOfferSchema, {
        trustDomain: authority.trustDomain,
        runnerId: request.runnerId,
        nonce: createNonce(deps.nonceKey, request.runnerId, expireTime),
        expireTime: timestampFromDate(expireTime),
        trustBundlePem: authority.trustBundle,
        endpoints: deps.endpoints(),
      });
      const payload = toBinary(EnrollmentOfferSchema, offer);
      return { offer: payload, signature: signControlPlaneStatement(payload, leaf.key), chainPem: leaf.fullChainPem };
    },
    enroll(request, context) {
      const details: Record<string, string> = request.host === "" ? {} : { host: request.host };
      const attempt = { context, action: "runner.enroll", runnerId: request.runnerId, details };
      const source = context.values.get(sourceKey);
      return audited(deps, attempt, () => deps.turns(request.runnerId, () => enroll(request, source)));
    },
  };

  async function enroll(request: EnrollRequest, source: string) {
    checkNonce(deps.nonceKey, request.runnerId, request.nonce);
    const publicKey = await keyOfCsr(request.csr);
    const spki = spkiSha256(publicKey).toString("hex");
    const { runner, row } = await sql.begin(async (transaction) => {
      const locked = await lockRunner(transaction, request.runnerId);
      const found = refuseBadProof(locked, request, csrSpkiOf(publicKey));
      refuseTokenUse(found, source);
      const known = await identities.findGeneration(transaction, spki);
      if (known) {
        if (known.runnerId !== found.id) throw new AgynError("CSR_INVALID", "csr: its key belongs to another runner");
        refuseDeadIdentity(found, known);
        return { runner: found, row: known };
      }
      refuseSpentToken(found);
      await refuseLiveSession(transaction, found);
      const identityId = await identities.insertIdentity(transaction, found.id, spki);
      const order = { csr: request.csr, publicKey, identityId, generation: 1n };
      const issued = await issueGeneration(deps, transaction, found, order);
      await bindIdentity(transaction, found.id, identityId);
      return { runner: found, row: issued };
    });
    deps.onEnrolled();
    deps.onRunnersChanged();
    deps.onRevoked();
    return toIssuedIdentity(deps, runner, row);
  }

  /** An unknown runner, a deleted one and a wrong signature answer alike, so that nobody learns which runners there are. */
  function refuseBadProof(runner: RunnerRow | undefined, request: EnrollRequest, csrSpki: Uint8Array): RunnerRow {
    const statement = {
      purpose: "enroll",
      trustDomain: authority.trustDomain,
      runnerId: request.runnerId,
      nonce: request.nonce,
      csrSpki,
    } as const;
    const isProven =
      runner !== undefined &&
      runner.deleteTime === null &&
      verifyEnrollmentStatement(statement, ed25519PublicKey(runner.tokenPublicKey), request.signature);
    if (isProven) return runner;
    throw new AgynError(
      "SERVICE_TOKEN_INVALID",
      "the service token is not valid: it may have been rotated, or its runner deleted",
    );
  }
}

function refuseTokenUse(runner: RunnerRow, source: string): void {
  if (runner.availability === "locked") {
    throw new AgynError("RUNNER_LOCKED", `the runner is locked: ${runner.availabilityReason}`);
  }
  if (runner.isTokenExpired) {
    throw new AgynError("SERVICE_TOKEN_REFUSED", "the service token has expired: rotate it");
  }
  if (runner.tokenSourceCidrs.length > 0 && !isWithin(source, runner.tokenSourceCidrs)) {
    throw new AgynError("SERVICE_TOKEN_REFUSED", `the service token must not be used from ${source}`);
  }
}

function refuseSpentToken({ tokenMaximumUses, tokenUses }: RunnerRow): void {
  if (tokenMaximumUses === 0 || tokenUses < tokenMaximumUses) return;
  throw new AgynError(
    "SERVICE_TOKEN_REFUSED",
    `the service token has been used ${tokenUses} of ${tokenMaximumUses} times: rotate it`,
  );
}
