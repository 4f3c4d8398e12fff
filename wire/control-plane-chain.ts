import { X509Certificate } from "node:crypto";
import { spkiSha256 } from "./keys.ts";
import { onlyUriName, parseControlPlaneUri } from "./spiffe.ts";

/** Longest chain that is read, in characters. */
const maxChainPemLength = 16_384;

/** The object id of TLS server authentication among a certificate's extended key usages. */
const serverAuthOid = "1.3.6.1.5.5.7.3.1";

interface ChainToVerify {
  readonly chainPem: string;
  readonly rootPin: Uint8Array;
  readonly trustDomain?: string;
  readonly now: Date;
}

interface VerifiedChain {
  readonly trustDomain: string;
  readonly rootPem: string;
  readonly leaf: X509Certificate;
}

/**
 * Checks that a chain is exactly leaf, intermediate, root; that the root is the pinned one; that each is signed by the
 * next and valid at `now`; that the intermediate and the leaf are for servers (which the intermediate of the runners is
 * not); and that the leaf's only name is the control plane's.
 */
export function verifyControlPlaneChain(chain: ChainToVerify): VerifiedChain | { readonly error: string } {
  const certificates = parseChain(chain.chainPem);
  if ("error" in certificates) return certificates;

  const [leaf, intermediate, root] = certificates;
  const pinned = spkiSha256(root.publicKey).equals(chain.rootPin);
  if (!pinned) return { error: "the control plane's root certificate is not the one that the service token pins" };

  const broken = brokenLink(leaf, intermediate, root) ?? outsideValidity([leaf, intermediate, root], chain.now);
  if (broken !== undefined) return { error: broken };

  const trustDomain = parseControlPlaneUri(onlyUriName(leaf.subjectAltName) ?? "");
  if (trustDomain === undefined) return { error: "the certificate shown is not that of a control plane" };
  if (chain.trustDomain !== undefined && chain.trustDomain !== trustDomain) {
    return { error: `the control plane is of trust domain ${trustDomain}, not ${chain.trustDomain}` };
  }
  return { trustDomain, rootPem: root.toString(), leaf };
}

type ThreeCertificates = readonly [X509Certificate, X509Certificate, X509Certificate];

function parseChain(chainPem: string): ThreeCertificates | { readonly error: string } {
  if (chainPem.length > maxChainPemLength) {
    return { error: `the control plane's certificate chain is longer than ${maxChainPemLength} characters` };
  }

  const blocks = chainPem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  const [leaf, intermediate, root] = blocks.map(parseCertificate);
  if (blocks.length !== 3) return { error: `the control plane's certificate chain has ${blocks.length} links, not 3` };
  if (leaf === undefined || intermediate === undefined || root === undefined) {
    return { error: "the control plane's certificate chain cannot be read" };
  }
  return [leaf, intermediate, root];
}

function parseCertificate(pem: string): X509Certificate | undefined {
  try {
    return new X509Certificate(pem);
  } catch {
    return undefined;
  }
}

function brokenLink(leaf: X509Certificate, intermediate: X509Certificate, root: X509Certificate): string | undefined {
  const signed =
    root.verify(root.publicKey) &&
    intermediate.checkIssued(root) &&
    intermediate.verify(root.publicKey) &&
    leaf.checkIssued(intermediate) &&
    leaf.verify(intermediate.publicKey);
  if (!signed) return "the control plane's certificates do not sign one another";

  const roles = root.ca && intermediate.ca && !leaf.ca && isForServers(intermediate) && isForServers(leaf);
  return roles ? undefined : "the control plane's certificates are not meant for a control plane";
}

function isForServers(certificate: X509Certificate): boolean {
  // Node's type says key usage; its value is the list of *extended* key usages, undefined where there are none.
  const usages: readonly string[] | undefined = certificate.keyUsage;
  return usages?.includes(serverAuthOid) ?? false;
}

function outsideValidity(certificates: readonly X509Certificate[], now: Date): string | undefined {
  for (const { validFromDate, validToDate } of certificates) {
    if (now < validFromDate) {
      return `the control plane's certificate is valid only from ${validFromDate.toISOString()}: is this machine's clock right?`;
    }
    if (now > validToDate) {
      return `the control plane's certificate expired at ${validToDate.toISOString()}: is this machine's clock right?`;
    }
  }
  return undefined;
}
