import { sign, verify, type KeyObject, type X509Certificate } from "node:crypto";
import { verifyControlPlaneChain } from "./control-plane-chain.ts";
import { isP256 } from "./keys.ts";
import { joinWithLengths } from "./length-prefix.ts";

const separation = "agyn control plane statement v1";

/** Signs the payload of an answer of the control plane with its leaf's key (ECDSA P-256 with SHA-256, in DER). */
export function signControlPlaneStatement(payload: Uint8Array, leafKey: KeyObject): Uint8Array {
  if (!isP256(leafKey)) throw new TypeError("a control-plane statement needs a P-256 key");
  return new Uint8Array(sign("sha256", joinWithLengths([separation, payload]), leafKey));
}

/** A statement as it came over the wire, and what the receiver already believes. */
export interface ReceivedStatement {
  readonly payload: Uint8Array;
  readonly signature: Uint8Array;
  /** Leaf, intermediate and root, in this order. */
  readonly chainPem: string;
  /** SHA-256 of the root's SubjectPublicKeyInfo, from the service token. */
  readonly rootPin: Uint8Array;
  /** Where it is known already (a renewal); otherwise the leaf's own is taken, which the pin vouches for. */
  readonly trustDomain?: string;
  readonly now: Date;
}

/** What a verified statement proves: who signed, under which root. */
export interface VerifiedStatement {
  readonly trustDomain: string;
  readonly rootPem: string;
  readonly leaf: X509Certificate;
}

/** Checks a statement of the control plane up to the pin: chain, name of the leaf, signature. The error is a value. */
export function verifyControlPlaneStatement(
  received: ReceivedStatement,
): VerifiedStatement | { readonly error: string } {
  const chain = verifyControlPlaneChain(received);
  if ("error" in chain) return chain;

  const { leaf } = chain;
  const message = joinWithLengths([separation, received.payload]);
  if (!isP256(leaf.publicKey) || !verify("sha256", message, leaf.publicKey, received.signature)) {
    return { error: "the control plane's signature does not fit what it sent: something in between changed it" };
  }
  return chain;
}
