import { AgynError } from "../domain/errors.ts";

/** Of an upload in parts: what S3 takes is 5 MiB to 5 GiB a part, and this many of them. */
const firstPartBytes = 8 * 1024 * 1024;
const maximumParts = 10_000;
/** After so many parts they double, so that small blobs need little memory and large ones fit. */
const partsOfOneSize = 2000;

/** How large the part of an index (from 0) is. */
export function partBytes(index: number): number {
  return firstPartBytes * 2 ** Math.floor(index / partsOfOneSize);
}

/** Largest blob: 8, 16, 32, 64 and 128 MiB, 2,000 times each. */
export const maximumBlobBytes = Array.from({ length: maximumParts }, (_, index) => partBytes(index)).reduce(
  (sum, one) => sum + one,
  0,
);

/** The bytes in parts as S3 takes them; all but the last are full. `LIMIT` after the last part that there may be. */
export async function* cutIntoParts(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, undefined> {
  let index = 0;
  let held: Uint8Array[] = [];
  let length = 0;
  for await (const piece of pieces) {
    for (let rest = piece; rest.length > 0;) {
      if (index === maximumParts) {
        throw new AgynError("LIMIT", `it would be above ${maximumBlobBytes} bytes, the most that is kept in one piece`);
      }
      const taken = rest.subarray(0, partBytes(index) - length);
      held.push(taken);
      length += taken.length;
      rest = rest.subarray(taken.length);
      if (length < partBytes(index)) continue;
      yield Buffer.concat(held, length);
      index += 1;
      held = [];
      length = 0;
    }
  }
  if (length > 0) yield Buffer.concat(held, length);
  return undefined;
}
