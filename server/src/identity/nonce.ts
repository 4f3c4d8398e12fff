import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { AgynError } from "../domain/errors.ts";

/** Expiry (8 bytes), 16 random bytes, and a MAC over both and the runner's id: no replica need remember it. */
export function createNonce(key: Uint8Array, runnerId: string, expireTime: Date): Uint8Array {
  const head = Buffer.concat([Buffer.alloc(8), randomBytes(16)]);
  head.writeBigUInt64BE(BigInt(expireTime.getTime()));
  return Buffer.concat([head, nonceMac(key, runnerId, head)]);
}

/** Throws `NONCE_INVALID` where the nonce was not made by this control plane for this runner, or is too old. */
export function checkNonce(key: Uint8Array, runnerId: string, nonce: Uint8Array): void {
  const bytes = Buffer.from(nonce);
  const valid =
    bytes.length === 56 && timingSafeEqual(nonceMac(key, runnerId, bytes.subarray(0, 24)), bytes.subarray(24));
  if (!valid) throw new AgynError("NONCE_INVALID", "nonce: it was not given to this runner by this control plane");
  if (Number(bytes.readBigUInt64BE(0)) < Date.now())
    throw new AgynError("NONCE_INVALID", "nonce: it is too old; start again");
}

function nonceMac(key: Uint8Array, runnerId: string, head: Uint8Array): Buffer {
  return createHmac("sha256", key).update("agyn enrollment nonce").update(runnerId).update(head).digest();
}
