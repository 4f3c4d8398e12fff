import { createHash, randomBytes, type KeyObject } from "node:crypto";
import { fromBase32, idPrefixes, isId, toBase32 } from "./ids.ts";
import { ed25519KeyBytes, ed25519PrivateKey, ed25519RawPublicKey } from "./keys.ts";

/** How each service token begins. */
export const serviceTokenPrefix = "agyn_rt_";

/** Longest text that is looked at as a service token, in characters: one token and what may stand after it. */
const maxServiceTokenLength = 256;

/** A token's parts: the runner it is of, the key that proves it, and the pin of the root of the control plane. */
export interface ServiceToken {
  readonly runnerId: string;
  readonly privateKey: KeyObject;
  /** 32 raw bytes: all that the control plane keeps (I6). */
  readonly publicKey: Uint8Array;
  /** SHA-256 of the root certificate's SubjectPublicKeyInfo. */
  readonly rootPin: Uint8Array;
}

const idBytes = 10;
const pinBytes = 32;
const checksumBytes = 4;
const seedEnd = idBytes + ed25519KeyBytes;
const pinEnd = seedEnd + pinBytes;
const tokenBytes = pinEnd + checksumBytes;
const tokenLength = serviceTokenPrefix.length + Math.ceil((tokenBytes * 8) / 5);

/**
 * A new service token of a runner: `agyn_rt_`, then lower-case base32 of the id's 10 bytes, the 32-byte seed of an
 * Ed25519 key, the 32-byte pin and a checksum. The text is shown once; only the public key is kept. Throws where the
 * runner id or the pin is malformed.
 */
export function createServiceToken({ runnerId, rootPin }: { runnerId: string; rootPin: Uint8Array }): {
  text: string;
  publicKey: Uint8Array;
} {
  const id = isId("runner", runnerId) ? fromBase32(runnerId.slice(idPrefixes.runner.length + 1)) : undefined;
  if (id === undefined) throw new RangeError(`not a runner id: ${JSON.stringify(runnerId)}`);
  if (rootPin.length !== pinBytes) throw new RangeError(`root pin has ${rootPin.length} bytes, not ${pinBytes}`);

  const seed = randomBytes(ed25519KeyBytes);
  const content = Buffer.concat([id, seed, rootPin]);
  return {
    text: serviceTokenPrefix + toBase32(Buffer.concat([content, checksum(content)])),
    publicKey: ed25519RawPublicKey(ed25519PrivateKey(seed)),
  };
}

/** The parts of a service token, one trailing line end or blank allowed; or which rule the text breaks, without the text. */
export function parseServiceToken(text: string): ServiceToken | { readonly error: string } {
  const token = text.replace(/(?:\r\n|\s)$/, "");
  const broken = brokenRule(token);
  if (broken !== undefined) return { error: broken };

  const bytes = fromBase32(token.slice(serviceTokenPrefix.length));
  if (bytes === undefined || !checksum(bytes.subarray(0, pinEnd)).equals(bytes.subarray(pinEnd))) {
    return { error: "service token has a wrong checksum: a character was changed, copy it again" };
  }

  const privateKey = ed25519PrivateKey(bytes.subarray(idBytes, seedEnd));
  return {
    runnerId: `${idPrefixes.runner}_${toBase32(bytes.subarray(0, idBytes))}`,
    privateKey,
    publicKey: ed25519RawPublicKey(privateKey),
    rootPin: bytes.slice(seedEnd, pinEnd),
  };
}

function brokenRule(token: string): string | undefined {
  if (token.length === 0) return "service token is empty";
  if (token.length > maxServiceTokenLength) {
    return `service token is longer than ${maxServiceTokenLength} characters: it must be one token and nothing else`;
  }
  if (token.includes("\0")) return "service token holds a NUL character";
  if (/[A-Z]/.test(token)) return "service token holds upper-case letters: it is all lower-case, copy it again";
  if (!token.startsWith(serviceTokenPrefix)) return `service token does not begin with ${serviceTokenPrefix}`;

  const strange = /[^a-z2-7]/.exec(token.slice(serviceTokenPrefix.length));
  if (strange !== null) {
    const position = serviceTokenPrefix.length + strange.index + 1;
    return `service token holds a character other than a-z and 2-7 at position ${position}`;
  }
  if (token.length === tokenLength) return undefined;
  return `service token has ${token.length} characters instead of ${tokenLength}: it was cut off or run together`;
}

function checksum(content: Uint8Array): Buffer {
  return createHash("sha256").update(serviceTokenPrefix).update(content).digest().subarray(0, checksumBytes);
}
