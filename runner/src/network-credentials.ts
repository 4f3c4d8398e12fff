import { X509Certificate } from "node:crypto";
import { createIdentityKey } from "../../wire/csr.ts";
import { enrollInNetwork, type EnrollmentDeps } from "./enroll.ts";
import type { NetworkCredential, StoredIdentity } from "./identity-store.ts";

/** What a network knows this runner by that takes no certificates but its own. */
export interface NetworkCredentials {
  /** The kept one, or a new one, got at the gateway and kept. Rejects with what the gateway refused it for. */
  current(identity: StoredIdentity, controllerUrl: string): Promise<NetworkCredential>;
  /** Gets another one next time: the network does not take the last. */
  forget(): void;
}

/** Keeps one credential, for the identity that it was got with. */
export function createNetworkCredentials(deps: EnrollmentDeps): NetworkCredentials {
  const { store } = deps;
  let enrolling: Promise<NetworkCredential> | undefined;

  return {
    async current(identity, controllerUrl) {
      const kept = store.loadNetworkCredential();
      const isOwn = kept?.identityId === identity.identityId && kept.controllerUrl === controllerUrl;
      const age = isOwn ? ageOf(kept, Date.now()) : "expired";
      if (isOwn && age === "young") return kept;
      enrolling ??= enroll(identity, controllerUrl).finally(() => (enrolling = undefined));
      // What is still good serves as long as there is no other.
      return isOwn && age === "old" ? enrolling.catch(() => kept) : enrolling;
    },
    forget: () => store.forgetNetworkCredential(),
  };

  async function enroll(identity: StoredIdentity, controllerUrl: string): Promise<NetworkCredential> {
    const runnerId = store.load()?.runnerId;
    if (runnerId === undefined) throw new Error("this runner has no identity to enroll in the network with");
    const key = createIdentityKey();
    const certPem = await enrollInNetwork(deps, { runnerId, identity, key });
    if (!new X509Certificate(certPem).checkPrivateKey(key))
      throw new Error("the network's certificate is for another key");
    const keyPem = key.export({ format: "pem", type: "pkcs8" }).toString();
    const credential = { identityId: identity.identityId, controllerUrl, keyPem, certPem };
    store.saveNetworkCredential(credential);
    return credential;
  }
}

/** Old from half of the certificate's life on. */
function ageOf({ certPem }: NetworkCredential, now_ms: number): "young" | "old" | "expired" {
  const { validFromDate, validToDate } = new X509Certificate(certPem);
  if (now_ms >= validToDate.getTime()) return "expired";
  return now_ms > (validFromDate.getTime() + validToDate.getTime()) / 2 ? "old" : "young";
}
