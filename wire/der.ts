/** One DER value: the tag, the length of all parts together, the parts. Lengths up to 65,535 bytes. */
export function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(parts);
  return Buffer.concat([Buffer.from([tag, ...derLength(body.length)]), body]);
}

/** The DER tags used here, by their ASN.1 names. */
export const derTag = { integer: 0x02, bitString: 0x03, objectId: 0x06, sequence: 0x30 } as const;

function derLength(length: number): number[] {
  if (length < 0x80) return [length];
  if (length <= 0xff) return [0x81, length];
  return [0x82, length >> 8, length & 0xff];
}
