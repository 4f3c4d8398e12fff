import { createHash, randomBytes } from "node:crypto";
import { createId, fromBase32, idPrefixes, toBase32, type IdKind } from "../../../wire/ids.ts";

/** Tokens of one kind: how each begins, what its id is, and what people call it. */
type TokenForm = { prefix: string; kind: IdKind; noun: string };

const accessToken: TokenForm = { prefix: "agyn_pat_", kind: "accessToken", noun: "access token" };
const triggerToken: TokenForm = { prefix: "agyn_tt_", kind: "triggerToken", noun: "trigger token" };

/** A token's id, and the SHA-256 of its text, which is all that is kept of it (I6). */
export type AccessTokenHash = { id: string; hash: Uint8Array };

const idLength = 16;
const secretBytes = 32;
const checksumBytes = 4;
const idEnd = ({ prefix }: TokenForm) => prefix.length + idLength;
const tokenLength = (form: TokenForm) => idEnd(form) + 1 + Math.ceil(((secretBytes + checksumBytes) * 8) / 5);

/**
 * A new access token: `agyn_pat_`, the 16 random characters of its id, `_`, then lower-case base32 of 32 secret bytes and a
 * checksum of 4. The text is shown once.
 */
export function createAccessToken(): AccessTokenHash & { text: string } {
  return createToken(accessToken);
}

/** A new trigger token: of the same form behind `agyn_tt_`. */
export function createTriggerToken(): AccessTokenHash & { text: string } {
  return createToken(triggerToken);
}

function createToken({ prefix, kind }: TokenForm): AccessTokenHash & { text: string } {
  const id = createId(kind);
  const head = `${prefix}${id.slice(idPrefixes[kind].length + 1)}_`;
  const secret = randomBytes(secretBytes);
  const text = head + toBase32(Buffer.concat([secret, checksum(head, secret)]));
  return { id, hash: hashOf(text), text };
}

/** The id and hash of a token's text; or which rule the text breaks, without the text. */
export function parseAccessToken(text: string): AccessTokenHash | { error: string } {
  return parseToken(accessToken, text);
}

/** The same of a trigger token. */
export function parseTriggerToken(text: string): AccessTokenHash | { error: string } {
  return parseToken(triggerToken, text);
}

function parseToken(form: TokenForm, text: string): AccessTokenHash | { error: string } {
  const { prefix, kind, noun } = form;
  const broken = brokenRule(form, text);
  if (broken !== undefined) return { error: broken };
  const head = text.slice(0, idEnd(form) + 1);
  const bytes = fromBase32(text.slice(idEnd(form) + 1));
  const secret = bytes?.subarray(0, secretBytes);
  if (!bytes || !secret || !checksum(head, secret).equals(bytes.subarray(secretBytes))) {
    return { error: `${noun} has a wrong checksum: a character was changed, copy it again` };
  }
  return { id: `${idPrefixes[kind]}_${text.slice(prefix.length, idEnd(form))}`, hash: hashOf(text) };
}

function brokenRule(form: TokenForm, text: string): string | undefined {
  const { prefix, noun } = form;
  if (text === "") return `${noun} is empty`;
  if (!text.startsWith(prefix)) return `${noun} does not begin with ${prefix}`;
  if (text.length !== tokenLength(form)) {
    return `${noun} has ${text.length} characters instead of ${tokenLength(form)}: it was cut off or run together`;
  }
  if (!/^[a-z2-7]{16}_[a-z2-7]+$/.test(text.slice(prefix.length))) {
    return `${noun} holds a character other than a-z and 2-7: it is all lower-case, copy it again`;
  }
  return undefined;
}

function checksum(head: string, secret: Uint8Array): Buffer {
  return createHash("sha256").update(head).update(secret).digest().subarray(0, checksumBytes);
}

function hashOf(text: string): Uint8Array {
  return createHash("sha256").update(text).digest();
}
