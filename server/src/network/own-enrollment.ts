/** What the control plane logs in with to a network that issues the certificates itself. */
import { X509Certificate } from "node:crypto";
import { OverlayError } from "../../../overlay/errors.ts";
import type { Credential } from "../../../overlay/openziti/credential.ts";
import { createCsr, createIdentityKey, csrToPem } from "../../../wire/csr.ts";
import { controlPlaneIdentityName } from "../domain/overlay-plan.ts";
import type { createNetworkCredentialStore, NetworkCredential } from "../identity/network-credential.ts";
import { authenticatorOf, enrollIdentity, findIdentity, type EnrollmentPlace } from "./enroll-identity.ts";

export type OwnEnrollmentDeps = EnrollmentPlace & {
  store: ReturnType<typeof createNetworkCredentialStore>;
  now?: () => Date;
};

/** The control plane's certificate by the network: one for all replicas, kept sealed, and compared with what the network has (I10). */
export function createOwnEnrollment(deps: OwnEnrollmentDeps) {
  const { store, caPem, trustDomain, now = () => new Date() } = deps;
  const name = controlPlaneIdentityName(trustDomain);

  return {
    /** Rejects with an `OverlayError` as long as the leader has not enrolled. */
    async credential(): Promise<Credential> {
      const kept = await store.load();
      if (kept !== undefined) return { keyPem: kept.keyPem, certPem: kept.certPem, caPem };
      throw new OverlayError("unauthorized", "the control plane has not enrolled in the network yet");
    },

    /** Enrolls where that was not done, where the network has another certificate, and at half of a certificate's life. */
    async keep(signal: AbortSignal): Promise<void> {
      const identity = await findIdentity(deps, name, signal);
      if (identity === undefined) return;
      const kept = await store.load();
      if (kept !== undefined && kept.authenticatorId === authenticatorOf(identity) && !isDue(kept, now())) return;

      const key = createIdentityKey();
      const certPem = await enrollIdentity(deps, { name, csrPem: csrToPem(createCsr(key)) }, signal);
      const enrolled = await findIdentity(deps, name, signal);
      const authenticatorId = enrolled && authenticatorOf(enrolled);
      if (authenticatorId === undefined)
        throw new OverlayError("broken", `${name} has enrolled, and has no certificate`);
      const keyPem = key.export({ type: "pkcs8", format: "pem" }).toString();
      await store.save({ authenticatorId, keyPem, certPem });
    },
  };
}

function isDue({ certPem }: NetworkCredential, now: Date): boolean {
  const { validFromDate, validToDate } = new X509Certificate(certPem);
  return now.getTime() > (validFromDate.getTime() + validToDate.getTime()) / 2;
}
