import "reflect-metadata";
import { createPublicKey, type KeyObject } from "node:crypto";
import * as x509 from "@peculiar/x509";
import { isP256, spkiOf } from "../../../wire/keys.ts";
import "./certificates.ts";

/** Longest certificate request that is read, in bytes (or characters of PEM). */
const maxCsrBytes = 4096;

/**
 * The public key of a certificate request (DER, or PEM), once the request is proven to be signed by it and the key to be
 * on P-256. Nothing else in the request is looked at: subject and names follow from who enrolls.
 */
export async function readCsr(
  csr: Uint8Array | string,
): Promise<{ readonly publicKey: KeyObject } | { readonly error: string }> {
  if (csr.length > maxCsrBytes) return { error: `certificate request is longer than ${maxCsrBytes} bytes` };

  const request = parse(csr);
  if (request === undefined) return { error: "certificate request cannot be read: it must be PKCS #10" };

  const publicKey = parsePublicKey(request);
  if (publicKey === undefined || !isP256(publicKey)) return { error: "certificate request must be for a P-256 key" };
  if (!spkiOf(publicKey).equals(Buffer.from(request.publicKey.rawData))) {
    return { error: "certificate request encodes its key in an unusual form" };
  }
  if (!(await isSignedByItself(request))) return { error: "certificate request is not signed by its own key" };
  return { publicKey };
}

function parse(csr: Uint8Array | string): x509.Pkcs10CertificateRequest | undefined {
  try {
    return new x509.Pkcs10CertificateRequest(typeof csr === "string" ? csr : new Uint8Array(csr));
  } catch {
    return undefined;
  }
}

function parsePublicKey(request: x509.Pkcs10CertificateRequest): KeyObject | undefined {
  try {
    return createPublicKey({ key: Buffer.from(request.publicKey.rawData), format: "der", type: "spki" });
  } catch {
    return undefined;
  }
}

async function isSignedByItself(request: x509.Pkcs10CertificateRequest): Promise<boolean> {
  try {
    return await request.verify();
  } catch {
    return false;
  }
}
