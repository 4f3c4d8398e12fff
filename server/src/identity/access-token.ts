import { createHash, randomBytes } from "node:crypto";
import { createId, fromBase32, idPrefixes, toBase32 } from "../../../wire/ids.ts";

/** How each access token begins. */
export const accessTokenPrefix = "agyn_pat_";

/** A token's id, and the SHA-256 of its text, which is all that is kept of it (I6). */
export type AccessTokenHash = { id: string; hash: Uint8Array };

const idLength = 16;
const secretBytes = 32;
const checksumBytes = 4;
const idEnd = accessTokenPrefix.length + idLength;
const tokenLength = idEnd + 1 + Math.ceil(((secretBytes + checksumBytes) * 8) / 5);

/**
 * A new access token: `agyn_pat_`, the 16 random characters of its id, `_`, then lower-case base32 of 32 secret bytes and a
 * checksum of 4. The text is shown once.
 */
export function createAccessToken(): AccessTokenHash & { text: string } {
  const id = createId("accessToken");
  const head = `${accessTokenPrefix}${id.slice(idPrefixes.accessToken.length + 1)}_`;
  const secret = randomBytes(secretBytes);
  const text = head + toBase32(Buffer.concat([secret, checksum(head, secret)]));
  return { id, hash: hashOf(text), text };
}

/** The id and hash of a token's text; or which rule the text breaks, without the text. */
export function parseAccessToken(text: string): AccessTokenHash | { error: string } {
  const broken = brokenRule(text);
  if (broken !== undefined) return { error: broken };
  const head = text.slice(0, idEnd + 1);
  const bytes = fromBase32(text.slice(idEnd + 1));
  const secret = bytes?.subarray(0, secretBytes);
  if (!bytes || !secret || !checksum(head, secret).equals(bytes.subarray(secretBytes))) {
    return { error: "access token has a wrong checksum: a character was changed, copy it again" };
  }
  return { id: `${idPrefixes.accessToken}_${text.slice(accessTokenPrefix.length, idEnd)}`, hash: hashOf(text) };
}

function brokenRule(text: string): string | undefined {
  if (text === "") return "access token is empty";
  if (!text.startsWith(accessTokenPrefix)) return `access token does not begin with ${accessTokenPrefix}`;
  if (text.length !== tokenLength) {
    return `access token has ${text.length} characters instead of ${tokenLength}: it was cut off or run together`;
  }
  if (!/^[a-z2-7]{16}_[a-z2-7]+$/.test(text.slice(accessTokenPrefix.length))) {
    return "access token holds a character other than a-z and 2-7: it is all lower-case, copy it again";
  }
  return undefined;
}

function checksum(head: string, secret: Uint8Array): Buffer {
  return createHash("sha256").update(head).update(secret).digest().subarray(0, checksumBytes);
}

function hashOf(text: string): Uint8Array {
  return createHash("sha256").update(text).digest();
}
