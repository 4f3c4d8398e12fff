import type { X509Certificate } from "node:crypto";
import { spkiSha256 } from "../../../wire/keys.ts";
import { onlyUriName, parseRunnerUri, type RunnerScope } from "../../../wire/spiffe.ts";

/** Who is at the other end, as its certificate says (I5). */
export interface RunnerPeer {
  readonly runnerId: string;
  readonly scope: RunnerScope;
  readonly identityId: string;
  readonly generation: number;
  /** 32 hexadecimal digits, lower-case, as `IssuedCertificate.serial`. */
  readonly serial: string;
  /** 64 hexadecimal digits, lower-case, as `IssuedCertificate.spkiSha256`. */
  readonly spkiSha256: string;
  readonly notAfter: Date;
}

const subjectPattern = /^CN=(rnr_[a-z2-7]{16})\nserialNumber=(idn_[a-z2-7]{16})\.([1-9][0-9]{0,8})$/;

/**
 * Reads a runner's certificate, whose chain and validity the secure layer has checked. Its one name must be the URI of a
 * runner of `trustDomain`, and its subject the identity and generation that were written into it.
 */
export function readRunnerPeer(
  certificate: X509Certificate,
  trustDomain: string,
): RunnerPeer | { readonly error: string } {
  const name = parseRunnerUri(trustDomain, onlyUriName(certificate.subjectAltName) ?? "");
  if (name === undefined) return { error: `the certificate is not that of a runner of trust domain ${trustDomain}` };

  const subject = subjectPattern.exec(certificate.subject);
  const identityId = subject?.[2];
  if (identityId === undefined || subject?.[1] !== name.runnerId) {
    return { error: `the certificate of runner ${name.runnerId} does not name its identity` };
  }
  return {
    ...name,
    identityId,
    generation: Number(subject[3]),
    serial: certificate.serialNumber.toLowerCase(),
    spkiSha256: spkiSha256(certificate.publicKey).toString("hex"),
    notAfter: certificate.validToDate,
  };
}
