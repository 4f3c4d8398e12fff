import { randomBytes } from "node:crypto";

/** Every kind of id and its prefix; the one list in the project. */
export const idPrefixes = {
  organization: "org",
  user: "usr",
  accessToken: "tok",
  runner: "rnr",
  identity: "idn",
  workload: "wkl",
  project: "prj",
  run: "run",
  job: "job",
  artifact: "art",
  upload: "upl",
  trigger: "trg",
  triggerToken: "ttk",
  delivery: "dlv",
  tunnel: "tnl",
  webhook: "whk",
  webhookDelivery: "whd",
  webhookMessage: "msg",
  event: "evt",
  replica: "rep",
} as const;

export type IdKind = keyof typeof idPrefixes;

const alphabet = "abcdefghijklmnopqrstuvwxyz234567";

/** `bytes` in lower-case base32 (RFC 4648 alphabet, no padding). */
export function toBase32(bytes: Uint8Array): string {
  let text = "";
  let bits = 0;
  let value = 0;
  for (const byte of bytes) {
    value = (value << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      text += alphabet[(value >>> bits) & 31];
    }
    value &= (1 << bits) - 1;
  }
  if (bits > 0) text += alphabet[(value << (5 - bits)) & 31];
  return text;
}

/** The bytes of lower-case base32 text, or `undefined` where a character is not of the alphabet or trailing bits are set. */
export function fromBase32(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(Math.floor((text.length * 5) / 8));
  let bits = 0;
  let value = 0;
  let length = 0;
  for (const character of text) {
    const digit = alphabet.indexOf(character);
    if (digit < 0) return undefined;
    value = (value << 5) | digit;
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      bytes[length++] = (value >>> bits) & 255;
    }
    value &= (1 << bits) - 1;
  }
  return value === 0 ? bytes : undefined;
}

const random_bytes = 10;
/** Random bytes for the next ids: asking for many at once costs little more than asking for those of one. */
let pool = new Uint8Array(0);

/** A new id: the kind's prefix, `_`, and 16 random base32 characters (80 bits). */
export function createId(kind: IdKind): string {
  if (pool.length < random_bytes) pool = randomBytes(256 * random_bytes);
  const random = pool.subarray(0, random_bytes);
  pool = pool.subarray(random_bytes);
  return `${idPrefixes[kind]}_${toBase32(random)}`;
}

/** Whether `text` is a whole, well-formed id of any kind. */
export function isAnyId(text: string): boolean {
  return (Object.keys(idPrefixes) as IdKind[]).some((kind) => isId(kind, text));
}

/** Whether `text` is a whole, well-formed id of `kind`. */
export function isId(kind: IdKind, text: string): boolean {
  return text.length === 20 && text.startsWith(`${idPrefixes[kind]}_`) && /^[a-z2-7]{16}$/.test(text.slice(4));
}
