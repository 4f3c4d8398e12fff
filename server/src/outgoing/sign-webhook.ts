/* Standard Webhooks, version 1 (github.com/standard-webhooks/standard-webhooks): how a request shows who sent it. */
import { createHmac } from "node:crypto";

const secretPrefix = "whsec_";

/** The text that people paste, of a key. */
export function toSecretText(key: Uint8Array): string {
  return secretPrefix + Buffer.from(key).toString("base64");
}

export type SignedMessage = {
  /** The same in every try. */
  id: string;
  /** Of this try: receivers refuse what is old. */
  timestamp_s: number;
  body: string;
};

/** The headers of a request, with a signature by each key, the newest first: a receiver takes any that it knows. */
export function signatureHeaders(message: SignedMessage, keys: readonly Uint8Array[]): Record<string, string> {
  const { id, timestamp_s, body } = message;
  const signatures = keys.map((key) => {
    const mac = createHmac("sha256", key).update(`${id}.${timestamp_s}.${body}`).digest("base64");
    return `v1,${mac}`;
  });
  return {
    "webhook-id": id,
    "webhook-timestamp": String(timestamp_s),
    "webhook-signature": signatures.join(" "),
  };
}
