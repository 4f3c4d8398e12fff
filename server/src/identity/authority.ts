import "reflect-metadata";
import { createPrivateKey, generateKeyPairSync, X509Certificate, type KeyObject } from "node:crypto";
import * as x509 from "@peculiar/x509";
import { spkiOf, spkiSha256 } from "../../../wire/keys.ts";
import { controlPlaneUri, runnerUri, type RunnerScope } from "../../../wire/spiffe.ts";
import type { AuthorityMaterial, CaMaterial } from "./authority-material.ts";
import { readCsr } from "./certificate-request.ts";
import { clockSkew_ms, ecdsa, newSerial, signingKey, toPem } from "./certificates.ts";

/** For whom a runner certificate is issued, over which key, from when and for how long. */
export interface RunnerCertificateOrder {
  /** PKCS #10, DER or PEM. Only its key counts. */
  readonly csr: Uint8Array | string;
  readonly scope: RunnerScope;
  readonly runnerId: string;
  readonly identityId: string;
  readonly generation: number;
  readonly now: Date;
  readonly ttl_ms: number;
}

/** A certificate as issued. */
export interface IssuedCertificate {
  /** The leaf and its intermediate. */
  readonly chainPem: string;
  /** 32 hexadecimal digits, lower-case. */
  readonly serial: string;
  /** SHA-256 of the key's SubjectPublicKeyInfo, 64 hexadecimal digits, lower-case. */
  readonly spkiSha256: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/** The control plane's own certificate and key. */
export interface ControlPlaneLeaf extends IssuedCertificate {
  readonly key: KeyObject;
  /** Leaf, intermediate and root: what a signed answer of StartEnrollment carries. */
  readonly fullChainPem: string;
}

/** The certificate authority of a trust domain. */
export interface Authority {
  readonly trustDomain: string;
  /** SHA-256 of the root's SubjectPublicKeyInfo, 32 bytes: what service tokens pin. */
  readonly rootPin: Uint8Array;
  /** The root certificate: what a runner trusts. */
  readonly trustBundle: string;
  /** The intermediate that all runner certificates come from: what the runner plane trusts. */
  readonly runnersIssuerPem: string;
  /** Issues a runner certificate, for client authentication only; or says why the request is refused. */
  issueRunnerCertificate(order: RunnerCertificateOrder): Promise<IssuedCertificate | { readonly error: string }>;
  /** Issues the control plane a new key and certificate, for server authentication. */
  issueControlPlaneLeaf(order: { readonly now: Date; readonly ttl_ms: number }): Promise<ControlPlaneLeaf>;
}

interface Ca {
  readonly certificate: x509.X509Certificate;
  readonly certPem: string;
  readonly key: KeyObject;
  readonly signingKey: CryptoKey;
}

interface LeafPlan {
  readonly ca: Ca;
  readonly publicKey: KeyObject;
  readonly subject: x509.JsonName;
  readonly uri: string;
  readonly usage: x509.ExtendedKeyUsage;
  readonly now: Date;
  readonly ttl_ms: number;
}

/** Opens an authority. Throws where a key does not belong to its certificate, or an intermediate not to the root. */
export function openAuthority(material: AuthorityMaterial): Authority {
  const root = openCa("root", material.root);
  const controlPlane = openCa("control-plane", material.controlPlane, root);
  const runners = openCa("runners", material.runners, root);
  const { trustDomain } = material;

  return {
    trustDomain,
    rootPin: new Uint8Array(spkiSha256(root.key)),
    trustBundle: root.certPem,
    runnersIssuerPem: runners.certPem,

    async issueRunnerCertificate({ csr, scope, runnerId, identityId, generation, now, ttl_ms }) {
      const request = await readCsr(csr);
      if ("error" in request) return request;

      return issueLeaf({
        ca: runners,
        publicKey: request.publicKey,
        subject: [{ CN: [runnerId] }, { "2.5.4.5": [`${identityId}.${generation}`] }],
        uri: runnerUri(trustDomain, { scope, runnerId }),
        usage: x509.ExtendedKeyUsage.clientAuth,
        now,
        ttl_ms,
      });
    },

    async issueControlPlaneLeaf({ now, ttl_ms }) {
      const key = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
      const issued = await issueLeaf({
        ca: controlPlane,
        publicKey: key,
        subject: [{ CN: ["agyn control-plane"] }],
        uri: controlPlaneUri(trustDomain),
        usage: x509.ExtendedKeyUsage.serverAuth,
        now,
        ttl_ms,
      });
      return { ...issued, key, fullChainPem: issued.chainPem + root.certPem };
    },
  };
}

function openCa(role: string, { certPem, keyPem }: CaMaterial, issuer?: Ca): Ca {
  const parsed = new X509Certificate(certPem);
  const key = createPrivateKey(keyPem);
  if (!parsed.checkPrivateKey(key)) throw new Error(`the ${role} CA's key does not belong to its certificate`);
  if (issuer !== undefined && !parsed.verify(new X509Certificate(issuer.certPem).publicKey)) {
    throw new Error(`the ${role} CA's certificate is not signed by the root`);
  }
  return { certificate: new x509.X509Certificate(certPem), certPem, key, signingKey: signingKey(key) };
}

async function issueLeaf(plan: LeafPlan): Promise<IssuedCertificate> {
  const spki = spkiOf(plan.publicKey);
  const serial = newSerial();
  // Certificates count whole seconds.
  const notBefore = new Date(wholeSecond(plan.now.getTime() - clockSkew_ms));
  const notAfter = new Date(wholeSecond(plan.now.getTime() + plan.ttl_ms));

  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serial,
    subject: plan.subject,
    issuer: plan.ca.certificate.subjectName,
    notBefore,
    notAfter,
    signingAlgorithm: ecdsa,
    publicKey: spki,
    signingKey: plan.ca.signingKey,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([plan.usage], true),
      new x509.SubjectAlternativeNameExtension([{ type: "url", value: plan.uri }]),
      await x509.AuthorityKeyIdentifierExtension.create(spkiOf(plan.ca.key)),
    ],
  });
  return {
    chainPem: toPem(certificate) + plan.ca.certPem,
    serial,
    spkiSha256: spkiSha256(plan.publicKey).toString("hex"),
    notBefore,
    notAfter,
  };
}

function wholeSecond(time_ms: number): number {
  return Math.floor(time_ms / 1000) * 1000;
}
