import { createPrivateKey, X509Certificate } from "node:crypto";
import type { IssuedIdentity } from "../../proto/gen/agyn/runners/v1/runners_service_pb.ts";
import { createCsr, createIdentityKey } from "../../wire/csr.ts";
import { spkiSha256 } from "../../wire/keys.ts";
import type { IdentityStore, PendingKey, StoredIdentity } from "./identity-store.ts";
import { timestampMs } from "./wire-time.ts";

/** The key that the next certificate is for: the one that waits for its answer, or a new one, durably kept first. */
export function ensurePendingKey(store: IdentityStore, runnerId: string): PendingKey {
  const kept = store.load();
  if (kept?.runnerId === runnerId && kept.pendingKey !== undefined) return kept.pendingKey;

  const key = createIdentityKey();
  const pendingKey: PendingKey = {
    keyPem: key.export({ format: "pem", type: "pkcs8" }).toString(),
    csrBase64: Buffer.from(createCsr(key)).toString("base64"),
  };
  const identity = kept?.runnerId === runnerId ? kept.identity : undefined;
  store.save({ version: 1, runnerId, ...(identity === undefined ? {} : { identity }), pendingKey });
  return pendingKey;
}

/** What is trusted, and where the runner plane is: not in the certificate. */
export type IdentitySurroundings = Pick<StoredIdentity, "trustDomain" | "rootPem" | "endpoints">;

/** What was issued for a key, as it is kept. Throws where the answer lacks something or is for another key. */
export function toStoredIdentity(
  issued: IssuedIdentity | undefined,
  { keyPem }: PendingKey,
  { trustDomain, rootPem, endpoints }: IdentitySurroundings,
): StoredIdentity {
  const identity = issued?.identity;
  if (issued === undefined || identity?.expireTime === undefined) throw new Error("the answer holds no identity");
  const leaf = new X509Certificate(issued.chainPem);
  if (!leaf.checkPrivateKey(createPrivateKey(keyPem))) throw new Error("the certificate is for another key");

  const expireTimeMs = timestampMs(identity.expireTime);
  return {
    identityId: identity.id,
    generation: String(identity.generation),
    trustDomain,
    uri: identity.uri,
    keyPem,
    chainPem: issued.chainPem,
    rootPem,
    expireTimeMs,
    renewTimeMs: issued.renewTime === undefined ? (Date.now() + expireTimeMs) / 2 : timestampMs(issued.renewTime),
    endpoints,
  };
}

/** The pin of the root that an identity trusts. */
export function rootPinOf({ rootPem }: Pick<StoredIdentity, "rootPem">): Uint8Array {
  return new Uint8Array(spkiSha256(new X509Certificate(rootPem).publicKey));
}
