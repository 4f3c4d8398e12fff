/** How a runner comes by its identity: by its service token, or, for an expired certificate, by its old key. */
import { createPrivateKey, type KeyObject } from "node:crypto";
import { fromBinary } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import {
  EnrollmentOfferSchema,
  type EnrollmentOffer,
  type RunnersService,
} from "../../proto/gen/agyn/runners/v1/runners_service_pb.ts";
import { verifyControlPlaneStatement } from "../../wire/control-plane-statement.ts";
import { createCsr } from "../../wire/csr.ts";
import { csrSpkiOf, signEnrollmentStatement } from "../../wire/enrollment-statement.ts";
import type { ServiceToken } from "../../wire/service-token.ts";
import { readEndpoints } from "./endpoints.ts";
import { FatalError } from "./fatal-error.ts";
import { ensurePendingKey, rootPinOf, toStoredIdentity } from "./identity-keys.ts";
import type { IdentityStore, RunnerEndpoint, StoredIdentity } from "./identity-store.ts";
import { timestampMs } from "./wire-time.ts";

/** Time for one call of the enrollment, in ms. */
export const enrollmentCallTimeoutMs = 20_000;

export type EnrollmentDeps = {
  gateway: Client<typeof RunnersService>;
  store: IdentityStore;
  /** A name of the machine for the audit. */
  host: string;
  signal: AbortSignal;
};

type VerifiedOffer = { offer: EnrollmentOffer; rootPem: string };

/** One try to enroll with the service token. Throws a `FatalError`, or what the call failed with. */
export async function enroll(deps: EnrollmentDeps, token: ServiceToken): Promise<StoredIdentity> {
  const { gateway, store, host } = deps;
  const { runnerId, rootPin } = token;
  const { offer, rootPem } = await startEnrollment(deps, { runnerId, rootPin });
  const { trustDomain, nonce } = offer;

  const pending = ensurePendingKey(store, runnerId);
  const csrSpki = csrSpkiOf(createPrivateKey(pending.keyPem));
  const statement = { purpose: "enroll", trustDomain, runnerId, nonce, csrSpki } as const;
  const signature = signEnrollmentStatement(statement, token.privateKey);
  const csr = Buffer.from(pending.csrBase64, "base64");
  const answer = await gateway.enroll({ runnerId, nonce, csr, signature, host }, callOptions(deps));

  const identity = toStoredIdentity(answer.identity, pending, {
    trustDomain,
    rootPem,
    endpoints: readEndpoints(offer.endpoints),
  });
  store.saveSessionNumber(0n);
  store.save({ version: 1, runnerId, identity });
  return identity;
}

/** One try to renew an identity whose certificate has expired, by proof of its key. Throws as `enroll` does. */
export async function renewExpired(
  deps: EnrollmentDeps,
  { runnerId, expired, rootPin }: { runnerId: string; expired: StoredIdentity; rootPin: Uint8Array },
): Promise<StoredIdentity> {
  const { gateway, store } = deps;
  const known = { runnerId, rootPin, trustDomain: expired.trustDomain };
  const { offer, rootPem } = await startEnrollment(deps, known);
  const { trustDomain, nonce } = offer;

  const pending = ensurePendingKey(store, runnerId);
  const csrSpki = csrSpkiOf(createPrivateKey(pending.keyPem));
  const statement = { purpose: "renew-expired-identity", trustDomain, runnerId, nonce, csrSpki } as const;
  const signature = signEnrollmentStatement(statement, createPrivateKey(expired.keyPem));
  const csr = Buffer.from(pending.csrBase64, "base64");
  const certificatePem = leafOf(expired.chainPem);
  const request = { runnerId, nonce, csr, signature, certificatePem };
  const answer = await gateway.renewExpiredIdentity(request, callOptions(deps));

  const identity = toStoredIdentity(answer.identity, pending, {
    trustDomain,
    rootPem,
    endpoints: readEndpoints(offer.endpoints),
  });
  store.save({ version: 1, runnerId, identity });
  return identity;
}

/** One try to get a certificate (PEM) by the network for a key of its own, by proof of the identity's. Throws as `enroll` does. */
export async function enrollInNetwork(
  deps: EnrollmentDeps,
  { runnerId, identity, key }: { runnerId: string; identity: StoredIdentity; key: KeyObject },
): Promise<string> {
  const known = { runnerId, rootPin: rootPinOf(identity), trustDomain: identity.trustDomain };
  const { offer } = await startEnrollment(deps, known);
  const { trustDomain, nonce } = offer;
  const statement = { purpose: "enroll-in-network", trustDomain, runnerId, nonce, csrSpki: csrSpkiOf(key) } as const;
  const signature = signEnrollmentStatement(statement, createPrivateKey(identity.keyPem));
  const request = { runnerId, nonce, csr: createCsr(key), certificatePem: leafOf(identity.chainPem), signature };
  return (await deps.gateway.enrollInNetwork(request, callOptions(deps))).certificatePem;
}

/**
 * Asks the gateway where the runner plane is now: it may have moved while this runner was away. The answer counts as far as it is
 * signed by the control plane that issued the identity. Throws as `enroll` does.
 */
export async function askEndpoints(
  deps: EnrollmentDeps,
  { runnerId, identity, rootPin }: { runnerId: string; identity: StoredIdentity; rootPin: Uint8Array },
): Promise<RunnerEndpoint[]> {
  const { trustDomain } = identity;
  const { offer } = await startEnrollment(deps, { runnerId, rootPin, trustDomain });
  return readEndpoints(offer.endpoints);
}

async function startEnrollment(
  deps: EnrollmentDeps,
  expected: { runnerId: string; rootPin: Uint8Array; trustDomain?: string },
): Promise<VerifiedOffer> {
  const { runnerId, ...trust } = expected;
  const answer = await deps.gateway.startEnrollment({ runnerId }, callOptions(deps));
  const now = new Date();
  const { offer: payload, signature, chainPem } = answer;
  const verified = verifyControlPlaneStatement({ payload, signature, chainPem, ...trust, now });
  if ("error" in verified) throw new FatalError("untrusted", verified.error);

  const offer = fromBinary(EnrollmentOfferSchema, payload);
  if (offer.runnerId !== runnerId || offer.trustDomain !== verified.trustDomain) {
    throw new FatalError("untrusted", `the control plane's offer is for ${offer.runnerId} of ${offer.trustDomain}`);
  }
  if (offer.expireTime !== undefined && timestampMs(offer.expireTime) < now.getTime()) {
    throw new FatalError("untrusted", "the control plane's offer has expired already: is this machine's clock right?");
  }
  return { offer, rootPem: verified.rootPem };
}

function callOptions({ signal }: EnrollmentDeps): { signal: AbortSignal; timeoutMs: number } {
  return { signal, timeoutMs: enrollmentCallTimeoutMs };
}

function leafOf(chainPem: string): string {
  const end = "-----END CERTIFICATE-----";
  return `${chainPem.slice(0, chainPem.indexOf(end))}${end}\n`;
}
