import { createHash } from "node:crypto";
import { toBinary, type DescMessage, type MessageShape } from "@bufbuild/protobuf";

/** By what a request under an idempotency key is known again. */
export function hashRequest<D extends DescMessage>(schema: D, request: MessageShape<D>): Uint8Array {
  return createHash("sha256").update(toBinary(schema, request)).digest();
}
