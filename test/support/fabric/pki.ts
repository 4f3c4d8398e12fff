import "reflect-metadata";
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  Pkcs10CertificateRequest,
  SubjectAlternativeNameExtension,
  type Extension,
  type JsonGeneralName,
  X509Certificate as Certificate,
  X509CertificateGenerator,
  X509Certificates,
} from "@peculiar/x509";
import { createHash, X509Certificate } from "node:crypto";
import type { DetailedPeerCertificate, TLSSocket } from "node:tls";

/** A key with its certificate, as PEM. */
export interface KeyPair {
  readonly keyPem: string;
  readonly certPem: string;
}

/** The fabric's own certificate authority. */
export interface FabricAuthority {
  readonly caPem: string;
  /** The trust domain of what it signs for identities. */
  readonly trustDomain: string;
  /** A server's key and certificate, for 127.0.0.1 and localhost. */
  issueServer(name: string): Promise<KeyPair>;
  /** The certificate of an identity, for the key of `csrPem`: one year, whatever the request says of names. */
  issueClient(csrPem: string, identityId: string): Promise<string>;
  /** A fresh key with an identity's certificate. */
  createClient(identityId: string): Promise<KeyPair>;
  /** The bundle as the EST door gives it: a PKCS#7 without signers, base64 in lines of 64 columns. */
  pkcs7(): string;
}

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const day_ms = 86_400_000;
const pkcs7Line_columns = 64;

/** Makes an authority of its own for one fabric. */
export async function createFabricAuthority(): Promise<FabricAuthority> {
  const trustDomain = `fabric-${crypto.randomUUID()}`;
  const keys = await createKeys();
  const issuer = "CN=fabric CA";
  const ca = await X509CertificateGenerator.createSelfSigned({
    name: issuer,
    keys,
    signingAlgorithm: algorithm,
    ...validity(3650),
    extensions: [
      new BasicConstraintsExtension(true, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
    ],
  });
  const sign = (subject: string, publicKey: CryptoKey, extensions: Extension[]) =>
    X509CertificateGenerator.create({
      issuer,
      subject,
      publicKey,
      signingKey: keys.privateKey,
      signingAlgorithm: algorithm,
      ...validity(365),
      extensions,
    });
  const forIdentity = async (publicKey: CryptoKey, id: string) => {
    const uri: JsonGeneralName = { type: "url", value: `spiffe://${trustDomain}/identity/${id}` };
    const certificate = await sign(`CN=${id}`, publicKey, [
      new SubjectAlternativeNameExtension([uri]),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.clientAuth]),
    ]);
    return pem(certificate);
  };
  return {
    caPem: pem(ca),
    trustDomain,
    async issueServer(name) {
      const own = await createKeys();
      const names: JsonGeneralName[] = [
        { type: "ip", value: "127.0.0.1" },
        { type: "dns", value: "localhost" },
      ];
      const certificate = await sign(`CN=${name}`, own.publicKey, [
        new SubjectAlternativeNameExtension(names),
        new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
      ]);
      return { keyPem: await pemOf(own.privateKey), certPem: pem(certificate) };
    },
    async issueClient(csrPem, identityId) {
      const request = new Pkcs10CertificateRequest(csrPem);
      if (!(await request.verify())) throw new Error("the request is not signed by its key");
      return forIdentity(await request.publicKey.export(), identityId);
    },
    async createClient(identityId) {
      const own = await createKeys();
      return { keyPem: await pemOf(own.privateKey), certPem: await forIdentity(own.publicKey, identityId) };
    },
    pkcs7: () => inLines(Buffer.from(new X509Certificates([new Certificate(ca.rawData)]).export("raw"))),
  };
}

/** The certificates that the other end showed, its own first. */
export function certificatesShown(socket: TLSSocket): X509Certificate[] {
  const found: X509Certificate[] = [];
  let shown: Partial<DetailedPeerCertificate> | null = socket.getPeerCertificate(true);
  for (let raw = shown?.raw; raw !== undefined; raw = shown?.raw) {
    const certificate = new X509Certificate(raw);
    if (found.some((earlier) => earlier.fingerprint256 === certificate.fingerprint256)) break;
    found.push(certificate);
    shown = shown?.issuerCertificate ?? null;
  }
  return found;
}

/** What the controller knows a certificate by: SHA-1 of its DER, in lower-case hexadecimal. */
export function fingerprintOf(certificate: X509Certificate): string {
  return createHash("sha1").update(certificate.raw).digest("hex");
}

/** The URIs among a certificate's alternative names. */
export function urisOf(certificate: X509Certificate): string[] {
  const names = certificate.subjectAltName?.split(", ") ?? [];
  return names.filter((name) => name.startsWith("URI:")).map((name) => name.slice("URI:".length));
}

/** Whether `certificate` leads to `caPem`, over the certificates that were shown with it. Dates play no part. */
export function isIssuedUnder(certificate: X509Certificate, caPem: string, shown: readonly X509Certificate[]): boolean {
  const ca = new X509Certificate(caPem);
  let current: X509Certificate | undefined = certificate;
  for (let depth = 0; current !== undefined && depth <= shown.length; depth++) {
    if (isSignedBy(current, ca)) return true;
    const child: X509Certificate = current;
    current = shown.find((parent) => parent !== child && parent.ca && isSignedBy(child, parent));
  }
  return false;
}

function isSignedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}

async function createKeys() {
  return crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
}

async function pemOf(key: CryptoKey): Promise<string> {
  const der = Buffer.from(await crypto.subtle.exportKey("pkcs8", key)).toString("base64");
  return `-----BEGIN PRIVATE KEY-----\n${der}\n-----END PRIVATE KEY-----\n`;
}

function validity(days: number): { notBefore: Date; notAfter: Date } {
  return { notBefore: new Date(Date.now() - day_ms), notAfter: new Date(Date.now() + days * day_ms) };
}

function inLines(bytes: Buffer): string {
  return bytes.toString("base64").replaceAll(new RegExp(`.{1,${pkcs7Line_columns}}`, "g"), "$&\n");
}

function pem(certificate: Certificate): string {
  return `${certificate.toString("pem")}\n`;
}
