import "reflect-metadata";
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import * as x509 from "@peculiar/x509";
import { der, derTag } from "../../../wire/der.ts";
import { spkiOf } from "../../../wire/keys.ts";
import { isTrustDomain } from "../../../wire/spiffe.ts";
import { clockSkew_ms, day_ms, ecdsa, newSerial, signingKey, toPem } from "./certificates.ts";

/** A certificate and its private key as text: what is kept (the key sealed) of each CA. */
export interface CaMaterial {
  readonly certPem: string;
  /** PKCS #8; to be sealed before it is stored. */
  readonly keyPem: string;
}

/** All that makes a certificate authority: it is made once, at the first start, and opened at each later one. */
export interface AuthorityMaterial {
  readonly trustDomain: string;
  readonly root: CaMaterial;
  readonly controlPlane: CaMaterial;
  readonly runners: CaMaterial;
}

/** How long a root, and an intermediate, are valid. */
const rootTtl_days = 3650;
const intermediateTtl_days = 1825;

type Issuer = { readonly name: string; readonly key: KeyObject };
type CaPlan = { readonly name: string; readonly ttl_days: number; readonly extensions: readonly x509.Extension[] };

/**
 * A new authority of a trust domain: a root for 10 years, and under it two intermediates for 5, each of path length 0,
 * bound to the trust domain and to one use: `control-plane` to server authentication, `runners` to client authentication.
 * Neither can therefore stand in for the other.
 */
export async function createAuthority({
  trustDomain,
  now,
}: {
  trustDomain: string;
  now: Date;
}): Promise<AuthorityMaterial> {
  if (!isTrustDomain(trustDomain)) throw new RangeError(`not a trust domain: ${JSON.stringify(trustDomain)}`);

  const rootKey = newKey();
  const root = { name: `CN=agyn root,O=${trustDomain}`, key: rootKey };
  const intermediate = (role: string, usage: x509.ExtendedKeyUsage): CaPlan => ({
    name: `CN=agyn ${role},O=${trustDomain}`,
    ttl_days: intermediateTtl_days,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.ExtendedKeyUsageExtension([usage], false),
      nameConstraints(trustDomain),
    ],
  });

  const rootPlan = {
    name: root.name,
    ttl_days: rootTtl_days,
    extensions: [new x509.BasicConstraintsExtension(true, 1, true)],
  };
  return {
    trustDomain,
    root: await createCa(rootPlan, rootKey, root, now),
    controlPlane: await createCa(intermediate("control-plane", x509.ExtendedKeyUsage.serverAuth), newKey(), root, now),
    runners: await createCa(intermediate("runners", x509.ExtendedKeyUsage.clientAuth), newKey(), root, now),
  };
}

async function createCa(plan: CaPlan, key: KeyObject, issuer: Issuer, now: Date): Promise<CaMaterial> {
  const notBefore = new Date(now.getTime() - clockSkew_ms);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: newSerial(),
    subject: plan.name,
    issuer: issuer.name,
    notBefore,
    notAfter: new Date(now.getTime() + plan.ttl_days * day_ms),
    signingAlgorithm: ecdsa,
    publicKey: spkiOf(key),
    signingKey: signingKey(issuer.key),
    extensions: [
      ...plan.extensions,
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(spkiOf(key)),
      await x509.AuthorityKeyIdentifierExtension.create(spkiOf(issuer.key)),
    ],
  });
  return { certPem: toPem(certificate), keyPem: key.export({ format: "pem", type: "pkcs8" }) };
}

function newKey(): KeyObject {
  return generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
}

/** RFC 5280, 4.2.1.10: URIs only of the trust domain, and no DNS name or IP address at all. */
function nameConstraints(trustDomain: string): x509.Extension {
  const subtree = (tag: number, base: Uint8Array) => der(derTag.sequence, der(tag, base));
  const uri = subtree(0x86, Buffer.from(trustDomain));
  const anyDns = subtree(0x82, Buffer.alloc(0));
  const anyIpv4 = subtree(0x87, Buffer.alloc(8));
  const anyIpv6 = subtree(0x87, Buffer.alloc(32));
  const value = der(derTag.sequence, der(0xa0, uri), der(0xa1, anyDns, anyIpv4, anyIpv6));
  return new x509.Extension("2.5.29.30", true, value);
}
