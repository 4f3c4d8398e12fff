import "reflect-metadata";
import { randomBytes, webcrypto, type KeyObject } from "node:crypto";
import * as x509 from "@peculiar/x509";

x509.cryptoProvider.set(webcrypto);

/** How far certificates reach into the past, for clocks that are behind. */
export const clockSkew_ms = 5 * 60_000;
export const day_ms = 24 * 60 * 60_000;

/** The one signature algorithm of all certificates here. */
export const ecdsa = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;

/** A random, positive serial number of 16 bytes in hexadecimal, its highest bits `01`, so that its length is fixed. */
export function newSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return bytes.toString("hex");
}

/** A private key as the certificate generator wants it. */
export function signingKey(key: KeyObject): CryptoKey {
  return key.toCryptoKey(ecdsa, false, ["sign"]);
}

/** The PEM text of a certificate, ending in a line end, so that texts concatenate into a chain. */
export function toPem(certificate: x509.X509Certificate): string {
  return `${certificate.toString("pem").trim()}\n`;
}
