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
  /** The intermediate that the control plane's own certificates come from. */
  readonly controlPlaneIssuerPem: string;
  /** Issues the control plane a new key and certificate, for server authentication. */
  issueControlPlaneLeaf(order: { readonly now: Date; readonly ttl_ms: number }): Promise<ControlPlaneLeaf>;
  /** Issues the control plane a new key and certificate by which it logs in to a network, for client authentication. */
  issueControlPlaneClient(order: { readonly now: Date; readonly ttl_ms: number }): Promise<ControlPlaneLeaf>;
  /** A short-lived certificate by one of the intermediates with a common name that somebody chose, to show who holds its key. */
  proveAuthority(issuerPem: string, commonName: string): Promise<string>;
}

/** For how long a proof of an authority is good. */
const proofTtl_ms = 10 * 60_000;

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
  /** Without both: a certificate that is good for nothing but showing who signed it. */
  readonly uri: string | undefined;
  readonly usage: x509.ExtendedKeyUsage | undefined;
  readonly now: Date;
  readonly ttl_ms: number;
}

/** Opens an authority. Throws where a key does not belong to its certificate, or an intermediate not to the root. */
export function openAuthority(material: AuthorityMaterial): Authority {
  const root = openCa("root", material.root);
  const controlPlane = openCa("control-plane", material.controlPlane, root);
  const runners = openCa("runners", material.runners, root);
  const { trustDomain } = material;

  async function issueOwn(
    order: { now: Date; ttl_ms: number },
    usage: x509.ExtendedKeyUsage,
  ): Promise<ControlPlaneLeaf> {
    const key = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
    const subject = [{ CN: ["agyn control-plane"] }];
    const uri = controlPlaneUri(trustDomain);
    const issued = await issueLeaf({ ca: controlPlane, publicKey: key, subject, uri, usage, ...order });
    return { ...issued, key, fullChainPem: issued.chainPem + root.certPem };
  }

  return {
    trustDomain,
    rootPin: new Uint8Array(spkiSha256(root.key)),
    trustBundle: root.certPem,
    runnersIssuerPem: runners.certPem,
    controlPlaneIssuerPem: controlPlane.certPem,

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

    issueControlPlaneLeaf: (order) => issueOwn(order, x509.ExtendedKeyUsage.serverAuth),
    issueControlPlaneClient: (order) => issueOwn(order, x509.ExtendedKeyUsage.clientAuth),

    async proveAuthority(issuerPem, commonName) {
      const ca = [controlPlane, runners].find(({ certPem }) => certPem === issuerPem);
      if (ca === undefined) throw new Error("the authority to prove is none of ours");
      const { certificate } = await issueLeaf({
        ca,
        publicKey: generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey,
        subject: [{ CN: [commonName] }],
        uri: undefined,
        usage: undefined,
        now: new Date(),
        ttl_ms: proofTtl_ms,
      });
      return certificate;
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

async function issueLeaf(plan: LeafPlan): Promise<IssuedCertificate & { readonly certificate: string }> {
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
      ...(plan.usage === undefined ? [] : [new x509.ExtendedKeyUsageExtension([plan.usage], true)]),
      ...(plan.uri === undefined ? [] : [new x509.SubjectAlternativeNameExtension([{ type: "url", value: plan.uri }])]),
      await x509.AuthorityKeyIdentifierExtension.create(spkiOf(plan.ca.key)),
    ],
  });
  return {
    certificate: toPem(certificate),
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
