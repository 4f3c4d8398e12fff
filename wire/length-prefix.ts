/** The parts one after the other, each behind its length in bytes as four bytes, big-endian; text as UTF-8. */
export function joinWithLengths(parts: readonly (string | Uint8Array)[]): Uint8Array {
  const pieces = parts.flatMap((part) => {
    const bytes = typeof part === "string" ? Buffer.from(part) : part;
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    return [length, bytes];
  });
  return new Uint8Array(Buffer.concat(pieces));
}
