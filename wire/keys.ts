import { createHash, createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";

/** Bytes of an Ed25519 seed, and of a raw Ed25519 public key. */
export const ed25519KeyBytes = 32;

const ed25519Pkcs8Prefix = Buffer.from("302e020100300506032b657004220420", "hex");
const ed25519SpkiPrefix = Buffer.from("302a300506032b6570032100", "hex");

/** The Ed25519 private key of a 32-byte seed (RFC 8410). */
export function ed25519PrivateKey(seed: Uint8Array): KeyObject {
  return createPrivateKey({ key: Buffer.concat([ed25519Pkcs8Prefix, seed]), format: "der", type: "pkcs8" });
}

/** The Ed25519 public key of its 32 raw bytes (RFC 8410). Throws where there are not 32 bytes. */
export function ed25519PublicKey(raw: Uint8Array): KeyObject {
  if (raw.length !== ed25519KeyBytes) throw new RangeError(`ed25519 public key has ${raw.length} bytes, not 32`);
  return createPublicKey({ key: Buffer.concat([ed25519SpkiPrefix, raw]), format: "der", type: "spki" });
}

/** The 32 raw bytes of an Ed25519 key's public half. */
export function ed25519RawPublicKey(key: KeyObject): Uint8Array {
  return new Uint8Array(spkiOf(key).subarray(ed25519SpkiPrefix.length));
}

/** The DER SubjectPublicKeyInfo of a key, private or public. */
export function spkiOf(key: KeyObject): Buffer {
  const publicKey = key.type === "private" ? createPublicKey(key) : key;
  return publicKey.export({ format: "der", type: "spki" });
}

/** SHA-256 over a key's SubjectPublicKeyInfo: what pins and certificate records call its fingerprint. */
export function spkiSha256(key: KeyObject): Buffer {
  return createHash("sha256").update(spkiOf(key)).digest();
}

/** Whether `key` is an elliptic-curve key on P-256, the only kind that identities have. */
export function isP256(key: KeyObject): boolean {
  return key.asymmetricKeyType === "ec" && key.asymmetricKeyDetails?.namedCurve === "prime256v1";
}

/** Whether `key` is an Ed25519 key, the only kind that service tokens have. */
export function isEd25519(key: KeyObject): boolean {
  return key.asymmetricKeyType === "ed25519";
}
