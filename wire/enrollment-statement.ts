import { sign, verify, type KeyObject } from "node:crypto";
import { isEd25519, isP256, spkiOf } from "./keys.ts";
import { joinWithLengths } from "./length-prefix.ts";

/** What a statement is for, and with it which kind of key signs: the token's (Ed25519), or the identity's (P-256). */
export type EnrollmentPurpose = "enroll" | "renew-expired-identity" | "enroll-in-network";

/** Everything that the signer of an enrollment stands for. */
export interface EnrollmentStatement {
  readonly purpose: EnrollmentPurpose;
  readonly trustDomain: string;
  readonly runnerId: string;
  /** As StartEnrollment gave it. */
  readonly nonce: Uint8Array;
  /** DER SubjectPublicKeyInfo of the key in the certificate request. */
  readonly csrSpki: Uint8Array;
}

const separation: Record<EnrollmentPurpose, string> = {
  enroll: "agyn enroll v1",
  "renew-expired-identity": "agyn renew expired identity v1",
  "enroll-in-network": "agyn enroll in network v1",
};

/**
 * The bytes that are signed: separation string, trust domain, runner id, nonce and SubjectPublicKeyInfo, each behind its
 * length in four bytes (big-endian), so that no two statements share their bytes.
 */
export function enrollmentStatementBytes(statement: EnrollmentStatement): Uint8Array {
  const { purpose, trustDomain, runnerId, nonce, csrSpki } = statement;
  return joinWithLengths([separation[purpose], trustDomain, runnerId, nonce, csrSpki]);
}

/** Signs a statement: Ed25519, or ECDSA with SHA-256 in DER. Throws where the key is of the wrong kind for the purpose. */
export function signEnrollmentStatement(statement: EnrollmentStatement, privateKey: KeyObject): Uint8Array {
  if (!keyFits(statement.purpose, privateKey)) throw new TypeError(`a wrong kind of key signs "${statement.purpose}"`);

  return new Uint8Array(sign(digestFor(privateKey), enrollmentStatementBytes(statement), privateKey));
}

/** Whether `signature` is that of `publicKey` over exactly this statement, and the key of the kind its purpose demands. */
export function verifyEnrollmentStatement(
  statement: EnrollmentStatement,
  publicKey: KeyObject,
  signature: Uint8Array,
): boolean {
  if (!keyFits(statement.purpose, publicKey)) return false;
  return verify(digestFor(publicKey), enrollmentStatementBytes(statement), publicKey, signature);
}

/** The field `csrSpki` for a key, private or public. */
export function csrSpkiOf(key: KeyObject): Uint8Array {
  return new Uint8Array(spkiOf(key));
}

function keyFits(purpose: EnrollmentPurpose, key: KeyObject): boolean {
  return purpose === "enroll" ? isEd25519(key) : isP256(key);
}

function digestFor(key: KeyObject): "sha256" | null {
  return isEd25519(key) ? null : "sha256";
}
