import "reflect-metadata";
import {
  BasicConstraintsExtension,
  Pkcs10CertificateRequestGenerator,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from "@peculiar/x509";
import type { KeyPair } from "../../support/fabric/pki.ts";

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const hour_ms = 3_600_000;

/** An authority that the fabric has never heard of. */
export interface ForeignAuthority {
  readonly certPem: string;
  /** A certificate from an hour ago until `until_ms` from now, with a common name and maybe a URI. */
  issue(options: { readonly commonName: string; readonly uri?: string; readonly until_ms?: number }): Promise<KeyPair>;
}

export async function createForeignAuthority(): Promise<ForeignAuthority> {
  const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const times = (until_ms: number) => ({
    notBefore: new Date(Date.now() - hour_ms),
    notAfter: new Date(Date.now() + until_ms),
  });
  const ca = await X509CertificateGenerator.createSelfSigned({
    name: "CN=foreign CA",
    keys,
    signingAlgorithm: algorithm,
    ...times(hour_ms),
    extensions: [new BasicConstraintsExtension(true, undefined, true)],
  });
  return {
    certPem: `${ca.toString("pem")}\n`,
    async issue({ commonName, uri, until_ms = hour_ms }) {
      const own = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
      const leaf = await X509CertificateGenerator.create({
        issuer: ca.subject,
        subject: `CN=${commonName}`,
        publicKey: own.publicKey,
        signingKey: keys.privateKey,
        signingAlgorithm: algorithm,
        ...times(until_ms),
        extensions: uri === undefined ? [] : [new SubjectAlternativeNameExtension([{ type: "url", value: uri }])],
      });
      return { keyPem: await keyPem(own.privateKey), certPem: `${leaf.toString("pem")}\n` };
    },
  };
}

/** A key, and the request for its certificate. */
export async function createRequest(): Promise<{ readonly keyPem: string; readonly csrPem: string }> {
  const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const csr = await Pkcs10CertificateRequestGenerator.create({
    name: "CN=whatever",
    keys,
    signingAlgorithm: algorithm,
  });
  return { keyPem: await keyPem(keys.privateKey), csrPem: csr.toString("pem") };
}

async function keyPem(key: CryptoKey): Promise<string> {
  const der = Buffer.from(await crypto.subtle.exportKey("pkcs8", key)).toString("base64");
  return `-----BEGIN PRIVATE KEY-----\n${der}\n-----END PRIVATE KEY-----\n`;
}
