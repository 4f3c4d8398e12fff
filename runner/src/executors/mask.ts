import { Buffer } from "node:buffer";

import type { EnvironmentVariable } from "./executor.ts";
import { createLiteralSearch, type Span } from "./literal-search.ts";
import { maximumLiteral_bytes, secretForms } from "./secret-forms.ts";

/** What stands in the place of a secret. */
const maskText = Buffer.from("***");
/** Bytes that may wait for what follows them, before they are judged without it. */
export const maximumPending_bytes = 2 * maximumLiteral_bytes;

/** Masked output, and how many of the bytes given it stands for: the others may begin a secret, and are to come again with more. */
export type Masked = { bytes: Buffer; taken: number };

/**
 * Hides the values of secret variables in output, in all forms of `secretForms`. It remembers nothing: what may begin a secret is
 * left to the caller, who has it durably. A whole line is never left: no form has a line break in it.
 */
export type Mask = {
  /** `isLast`: nothing follows. */
  apply(bytes: Buffer, isLast: boolean): Masked;
  /** A text of the runner's own: all of it, without the secrets that are known. */
  text(text: string): string;
  /** What the runner quotes of a job, such as the name of a file: without its secrets. */
  quoted(text: string): string;
  /** Names of the secret variables that are not hidden, because their values are too short or too common. */
  unmasked: readonly string[];
};

/** The mask of the secret variables of a job: their values leave the runner nowhere (I6). */
export function createMask(env: readonly EnvironmentVariable[]): Mask {
  const secrets = env.filter((one) => one.secret && one.value !== "");
  const forms = secrets.map(({ name, value }) => ({ name, literals: secretForms(value) }));
  const unmasked = forms.filter(({ literals }) => literals.length === 0).map(({ name }) => name);
  const literals = forms.flatMap((one) => one.literals);
  const asItIs = (text: string): string => text;
  if (literals.length === 0)
    return { unmasked, apply: (bytes) => ({ bytes, taken: bytes.length }), text: asItIs, quoted: asItIs };
  const search = createLiteralSearch(literals);
  const masked = (text: string): string => {
    const bytes = Buffer.from(text);
    return hide(bytes, search(bytes).spans).toString();
  };
  return {
    unmasked,
    apply(bytes, isLast) {
      const { spans, pendingBytes } = search(bytes);
      const taken = isLast ? bytes.length : takenOf(bytes, spans, pendingBytes);
      return { bytes: hide(bytes.subarray(0, taken), spans), taken };
    },
    text: masked,
    quoted: masked,
  };
}

/** Hides all that comes from the job: of one whose secrets are not known any more. */
export const hidingMask: Mask = {
  unmasked: [],
  apply: ({ length }) => ({ bytes: Buffer.alloc(0), taken: length }),
  text: (text) => text,
  quoted: () => maskText.toString(),
};

/** Up to where what is found stays so whatever follows. A span that goes on behind that is judged later, unless it is very long. */
function takenOf(bytes: Buffer, spans: readonly Span[], pendingBytes: number): number {
  const sure = bytes.length - pendingBytes;
  const across = spans.find(({ start, end }) => start < sure && end > sure);
  const taken = across?.start ?? sure;
  return bytes.length - taken > maximumPending_bytes ? bytes.length : taken;
}

function hide(bytes: Buffer, spans: readonly Span[]): Buffer {
  const within = spans.filter(({ start }) => start < bytes.length);
  if (within.length === 0) return bytes;
  const pieces: Buffer[] = [];
  let position = 0;
  for (const { start, end } of within) {
    pieces.push(bytes.subarray(position, start), maskText);
    position = end;
  }
  return Buffer.concat([...pieces, bytes.subarray(position)]);
}
