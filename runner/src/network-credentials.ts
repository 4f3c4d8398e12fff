import { X509Certificate } from "node:crypto";
import { OverlayError } from "../../overlay/errors.ts";
import { createIdentityKey } from "../../wire/csr.ts";
import { enrollInNetwork, type EnrollmentDeps } from "./enroll.ts";
import type { NetworkCredential, StoredIdentity } from "./identity-store.ts";
import { messageOf, refusalOf } from "./refusal.ts";

/** What a network knows this runner by that takes no certificates but its own. */
export interface NetworkCredentials {
  /**
   * The kept one, or a new one, got at the gateway and kept. Rejects with what the call failed with, or with an `OverlayError`,
   * "unauthorized", where the gateway refuses this runner's identity.
   */
  current(controllerUrl: string): Promise<NetworkCredential>;
  /** Gets another one next time: the network does not take the last. */
  forget(): void;
}

/** Keeps one credential, for the identity that it was got with. */
export function createNetworkCredentials(deps: EnrollmentDeps): NetworkCredentials {
  const { store } = deps;
  let enrolling: Promise<NetworkCredential> | undefined;

  return {
    async current(controllerUrl) {
      const { runnerId, identity } = store.load() ?? {};
      if (runnerId === undefined || identity === undefined)
        throw new OverlayError("unauthorized", "this runner has no identity to enroll in the network with");
      const kept = store.loadNetworkCredential();
      const isOwn = kept?.identityId === identity.identityId && kept.controllerUrl === controllerUrl;
      const age = isOwn ? ageOf(kept, Date.now()) : "expired";
      if (isOwn && age === "young") return kept;
      enrolling ??= enroll({ runnerId, identity, controllerUrl }).finally(() => (enrolling = undefined));
      // What is still good serves as long as there is no other.
      return isOwn && age === "old" ? enrolling.catch(() => kept) : enrolling;
    },
    forget: () => store.forgetNetworkCredential(),
  };

  async function enroll({ runnerId, identity, controllerUrl }: Enrolling): Promise<NetworkCredential> {
    const key = createIdentityKey();
    const certPem = await enrollInNetwork(deps, { runnerId, identity, key }).catch((error: unknown) => {
      throw isAboutIdentity(error) ? new OverlayError("unauthorized", messageOf(error), { cause: error }) : error;
    });
    if (!new X509Certificate(certPem).checkPrivateKey(key))
      throw new Error("the network's certificate is for another key");
    const keyPem = key.export({ format: "pem", type: "pkcs8" }).toString();
    const credential = { identityId: identity.identityId, controllerUrl, keyPem, certPem };
    store.saveNetworkCredential(credential);
    return credential;
  }
}

type Enrolling = { runnerId: string; identity: StoredIdentity; controllerUrl: string };

function isAboutIdentity(error: unknown): boolean {
  return /^(IDENTITY_|RUNNER_LOCKED|NOT_FOUND|UNAUTHENTICATED)/.test(refusalOf(error).reason ?? "");
}

/** Old from half of the certificate's life on; one that cannot be read has none. */
function ageOf({ certPem }: NetworkCredential, now_ms: number): "young" | "old" | "expired" {
  const certificate = readCertificate(certPem);
  if (certificate === undefined || now_ms >= certificate.validToDate.getTime()) return "expired";
  const half_ms = (certificate.validFromDate.getTime() + certificate.validToDate.getTime()) / 2;
  return now_ms > half_ms ? "old" : "young";
}

function readCertificate(pem: string): X509Certificate | undefined {
  try {
    return new X509Certificate(pem);
  } catch {
    return undefined;
  }
}
