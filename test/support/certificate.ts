import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import "reflect-metadata";
import { SubjectAlternativeNameExtension, X509CertificateGenerator } from "@peculiar/x509";
import { onTestFinished } from "vitest";

/** A certificate that signs itself, with its key; both as PEM and as files. */
export type Certificate = { cert: string; key: string; certFile: string; keyFile: string };

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const day_ms = 86_400_000;

/** For the host, valid from so many days from now, for thirty. */
export async function createCertificate(host: string, { fromDay = -1 } = {}): Promise<Certificate> {
  const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const type = /^[\d.]+$/.test(host) ? "ip" : "dns";
  const notBefore = new Date(Date.now() + fromDay * day_ms);
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: "CN=test",
    keys,
    signingAlgorithm: algorithm,
    extensions: [new SubjectAlternativeNameExtension([{ type, value: host }])],
    notBefore,
    notAfter: new Date(notBefore.getTime() + 30 * day_ms),
  });
  const der = Buffer.from(await crypto.subtle.exportKey("pkcs8", keys.privateKey)).toString("base64");
  const cert = certificate.toString("pem");
  const key = `-----BEGIN PRIVATE KEY-----\n${der}\n-----END PRIVATE KEY-----\n`;
  return { cert, key, certFile: temporaryFile("tls.crt", cert), keyFile: temporaryFile("tls.key", key) };
}

/** A file of this test's own. */
export function temporaryFile(name: string, text: string): string {
  const directory = mkdtempSync(join(tmpdir(), "agyn-certificate-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  const path = join(directory, name);
  writeFileSync(path, text, { mode: 0o600 });
  return path;
}
