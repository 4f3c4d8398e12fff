import { createPublicKey, X509Certificate, type KeyObject } from "node:crypto";
import { csrSpkiOf, verifyEnrollmentStatement, type EnrollmentPurpose } from "../../../wire/enrollment-statement.ts";
import { spkiSha256 } from "../../../wire/keys.ts";
import { AgynError } from "../domain/errors.ts";
import { checkNonce } from "../identity/nonce.ts";
import { keyOfCsr, type IssueDeps } from "./issue-identity.ts";

/** A request whose sender shows that it holds the key of a certificate. */
export type ProvenRequest = {
  runnerId: string;
  nonce: Uint8Array;
  csr: Uint8Array;
  certificatePem: string;
  signature: Uint8Array;
};

/** The key that a certificate is asked for, and the SHA-256 (hex) of the identity's that asks. Throws where anything does not prove that. */
export async function proveIdentity(
  { authority, nonceKey }: IssueDeps,
  purpose: Exclude<EnrollmentPurpose, "enroll">,
  request: ProvenRequest,
): Promise<{ publicKey: KeyObject; identitySpki: string }> {
  const { runnerId, nonce } = request;
  checkNonce(nonceKey, runnerId, nonce);
  const publicKey = await keyOfCsr(request.csr);
  const identityKey = readCertificateKey(request.certificatePem);
  const { trustDomain } = authority;
  const statement = { purpose, trustDomain, runnerId, nonce, csrSpki: csrSpkiOf(publicKey) };
  if (!verifyEnrollmentStatement(statement, identityKey, request.signature)) {
    throw new AgynError("UNAUTHENTICATED", "the signature is not by the key of the certificate");
  }
  return { publicKey, identitySpki: spkiSha256(identityKey).toString("hex") };
}

function readCertificateKey(pem: string): KeyObject {
  try {
    return createPublicKey(new X509Certificate(pem).publicKey.export({ type: "spki", format: "pem" }));
  } catch {
    throw new AgynError("UNAUTHENTICATED", "certificate_pem: it cannot be read");
  }
}
