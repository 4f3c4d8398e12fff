import { generateKeyPairSync, sign, type KeyObject } from "node:crypto";
import { der, derTag } from "./der.ts";
import { isP256, spkiOf } from "./keys.ts";

const version0 = der(derTag.integer, Buffer.from([0]));
const noSubject = der(derTag.sequence);
const noAttributes = der(0xa0);
const ecdsaWithSha256 = der(derTag.sequence, der(derTag.objectId, Buffer.from("2a8648ce3d040302", "hex")));

/** A new identity key: P-256, made on the machine that uses it and never sent. */
export function createIdentityKey(): KeyObject {
  return generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
}

/**
 * A certificate request (PKCS #10, RFC 2986) in DER for a P-256 key, signed by it. It has no subject and asks for no
 * names: who it is for follows from the proof that goes with it. Throws for a key of another kind.
 */
export function createCsr(privateKey: KeyObject): Uint8Array {
  if (!isP256(privateKey)) throw new TypeError("a certificate request needs a P-256 key");

  const content = der(derTag.sequence, version0, noSubject, spkiOf(privateKey), noAttributes);
  const signature = sign("sha256", content, privateKey);
  const bits = der(derTag.bitString, Buffer.from([0]), signature);
  return new Uint8Array(der(derTag.sequence, content, ecdsaWithSha256, bits));
}

/** A certificate request as PEM. */
export function csrToPem(csr: Uint8Array): string {
  const lines =
    Buffer.from(csr)
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  return ["-----BEGIN CERTIFICATE REQUEST-----", ...lines, "-----END CERTIFICATE REQUEST-----", ""].join("\n");
}
