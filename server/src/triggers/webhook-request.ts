/* Whether a request comes from who knows the trigger's secret, and what it says: pure, over the exact bytes that came. */
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import type { ForgeName } from "../domain/trigger-config.ts";

/** A request as it came; names of headers in lower case, each as often as it was sent. */
export type WebhookRequest = { headers: readonly (readonly [name: string, value: string])[]; body: Uint8Array };

/**
 * `id`: what the sender calls this delivery, empty where it does not. `hashes`: by which a second one is known, of the id, and of the payload
 * where the signature does not cover the id.
 */
export type VerifiedPayload = {
  id: string;
  event: string;
  payload: unknown;
  payloadBytes: Uint8Array;
  hashes: readonly Uint8Array[];
};

/** What is refused: with an HTTP status, a word for the log, and why. */
export type WebhookRefusal = { status: 400 | 401 | 415; rule: "signature" | "content" | "payload"; reason: string };

type Outcome = { verified: VerifiedPayload } | { refused: WebhookRefusal };
type Headers = ReadonlyMap<string, readonly string[]>;

/** A stamped signature is good for so long, to either side. */
const stampTolerance_s = 300;
const nestingLimit = 64;
const deliveryIdLimit = 128;
const eventLimit = 64;

/** Of each forge, the headers that may carry its HMAC (the first that is there counts), its delivery id and its event. */
const headersOf: Record<
  ForgeName,
  { signatures: readonly string[]; ids: readonly string[]; events: readonly string[] }
> = {
  forgejo: {
    signatures: ["x-forgejo-signature", "x-gitea-signature", "x-hub-signature-256"],
    ids: ["x-forgejo-delivery", "x-gitea-delivery"],
    events: ["x-forgejo-event", "x-gitea-event"],
  },
  gitea: {
    signatures: ["x-gitea-signature", "x-hub-signature-256"],
    ids: ["x-gitea-delivery"],
    events: ["x-gitea-event"],
  },
  github: { signatures: ["x-hub-signature-256"], ids: ["x-github-delivery"], events: ["x-github-event"] },
  gitlab: {
    signatures: [],
    ids: ["idempotency-key", "webhook-id", "x-gitlab-event-uuid"],
    events: ["x-gitlab-event"],
  },
  generic: { signatures: ["x-signature-256"], ids: ["webhook-id", "x-delivery-id"], events: ["x-event"] },
};

/** Verifies a request against the secret, then reads its payload. `now_ms`: for signatures that carry a time. */
export function verifyWebhook(
  request: WebhookRequest,
  { forge, secret, now_ms }: { forge: ForgeName; secret: string; now_ms: number },
): Outcome {
  const read = readPayload(request, forge);
  if ("refused" in read) return read;
  const { headers, signedBytes, payloadBytes } = read;
  if (secret === "") return refuse(401, "signature", "the trigger has no secret");
  const fault = signatureFault({ headers, bytes: signedBytes, forge, secret, now_ms });
  if (fault !== undefined) return refuse(401, "signature", fault);
  const parsed = parsePayload(payloadBytes);
  if ("error" in parsed) return refuse(400, "payload", parsed.error);
  const names = headersOf[forge];
  const id = firstOf(headers, names.ids);
  const coversId = headers.has("webhook-signature") || forge === "gitlab";
  return {
    verified: {
      id: id.slice(0, deliveryIdLimit),
      event: firstOf(headers, names.events).slice(0, eventLimit),
      payload: parsed.payload,
      payloadBytes,
      hashes: [...(id === "" ? [] : [hashOf("id", id)]), ...(coversId ? [] : [hashOf("payload", payloadBytes)])],
    },
  };
}

type Signed = { headers: Headers; bytes: Uint8Array; forge: ForgeName; secret: string; now_ms: number };

function hashOf(kind: string, bytes: string | Uint8Array): Uint8Array {
  return createHash("sha256").update(kind).update("\0").update(bytes).digest();
}

/** Which rule the signature breaks. */
function signatureFault({ headers, bytes, forge, secret, now_ms }: Signed): string | undefined {
  const isStamped = headers.has("webhook-signature");
  if (isStamped && (forge === "gitlab" || forge === "generic")) return stampedFault({ headers, bytes, secret, now_ms });
  if (forge === "gitlab") return tokenFault(headers, secret);
  const name = headersOf[forge].signatures.find((one) => headers.has(one));
  if (name === undefined) {
    return headers.has("x-hub-signature")
      ? "it is signed with SHA-1 alone, which is refused"
      : `it is not signed: there is no ${headersOf[forge].signatures[0]} header`;
  }
  const value = onlyValue(headers, name);
  if ("error" in value) return value.error;
  if (value.text.startsWith("sha1=")) return `${name} is SHA-1, which is refused`;
  const hex = value.text.startsWith("sha256=") ? value.text.slice("sha256=".length) : value.text;
  if (forge === "github" && hex === value.text) return `${name} does not begin with sha256=`;
  if (!/^[0-9a-f]{64}$/.test(hex)) return `${name} is not an HMAC-SHA256 in lower-case hexadecimal`;
  const expected = createHmac("sha256", secret).update(bytes).digest();
  return timingSafeEqual(Buffer.from(hex, "hex"), expected) ? undefined : `${name} is not that of this body and secret`;
}

/** GitLab's older form is the secret itself; hashing both makes them of one length. */
function tokenFault(headers: Headers, secret: string): string | undefined {
  const value = onlyValue(headers, "x-gitlab-token");
  if ("error" in value) return value.error;
  const hash = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(hash(value.text), hash(secret)) ? undefined : "x-gitlab-token is not the trigger's secret";
}

/** Standard Webhooks: HMAC-SHA256 of `id.timestamp.body` in base64 behind `v1,`; several may stand side by side while keys change. */
function stampedFault({ headers, bytes, secret, now_ms }: Omit<Signed, "forge">): string | undefined {
  const [id, stamp, signatures] = ["webhook-id", "webhook-timestamp", "webhook-signature"].map((name) =>
    onlyValue(headers, name),
  ) as [OnlyValue, OnlyValue, OnlyValue];
  if ("error" in id) return id.error;
  if ("error" in stamp) return stamp.error;
  if ("error" in signatures) return signatures.error;
  if (!/^[0-9]{1,12}$/.test(stamp.text)) return "webhook-timestamp is not a number of seconds";
  if (Math.abs(now_ms / 1000 - Number(stamp.text)) > stampTolerance_s) {
    return `webhook-timestamp is more than ${stampTolerance_s} s away from this clock: a replay, or clocks that differ`;
  }
  const mac = createHmac("sha256", stampedKey(secret)).update(`${id.text}.${stamp.text}.`).update(bytes).digest();
  const isGood = signatures.text.split(" ").some((one) => {
    const given = Buffer.from(one.startsWith("v1,") ? one.slice("v1,".length) : "", "base64");
    return given.length === mac.length && timingSafeEqual(given, mac);
  });
  return isGood ? undefined : "webhook-signature is not that of this body and secret";
}

/** A secret with the standard's prefix is base64 of the key; any other is the key itself. */
function stampedKey(secret: string): Buffer {
  return secret.startsWith("whsec_") ? Buffer.from(secret.slice("whsec_".length), "base64") : Buffer.from(secret);
}

type OnlyValue = { text: string } | { error: string };

function onlyValue(headers: Headers, name: string): OnlyValue {
  const values = headers.get(name) ?? [];
  if (values.length === 0) return { error: `it is not signed: there is no ${name} header` };
  if (values.length > 1) return { error: `there are ${values.length} ${name} headers` };
  return values[0] === "" ? { error: `${name} is empty: the sender has no secret` } : { text: values[0]! };
}

/** What the headers call the event. */
export function webhookEvent({ headers }: WebhookRequest, forge: ForgeName): string {
  return firstOf(new Map(headers.map(([name, value]) => [name, [value.trim()]])), headersOf[forge].events);
}

type ReadPayload = { headers: Headers; signedBytes: Uint8Array; payloadBytes: Uint8Array };

/** What is signed, and what is read: for a form, Forgejo and Gitea sign the JSON in it, GitHub the form. */
function readPayload(request: WebhookRequest, forge: ForgeName): ReadPayload | { refused: WebhookRefusal } {
  const headers = new Map<string, string[]>();
  for (const [name, value] of request.headers) headers.set(name, [...(headers.get(name) ?? []), value.trim()]);
  const encodings = headers.get("content-encoding") ?? [];
  if (encodings.some((one) => one !== "" && one !== "identity")) {
    return refuse(415, "content", `content-encoding ${encodings.join(", ")}: send the payload uncompressed`);
  }
  const types = headers.get("content-type") ?? [];
  const [type = "", ...parameters] = (types[0] ?? "")
    .toLowerCase()
    .split(";")
    .map((one) => one.trim());
  if (types.length !== 1)
    return refuse(415, "content", `there are ${types.length} content-type headers instead of one`);
  if (parameters.some((one) => one !== "" && !/^charset="?utf-8"?$/.test(one))) {
    return refuse(415, "content", `content-type ${types[0]}: the payload must be UTF-8`);
  }
  const { body } = request;
  if (type === "application/json" || (forge === "generic" && type.endsWith("+json"))) {
    return { headers, signedBytes: body, payloadBytes: body };
  }
  if (type !== "application/x-www-form-urlencoded" || forge === "gitlab" || forge === "generic") {
    return refuse(415, "content", `content-type ${types[0]}: send application/json`);
  }
  const payloads = new URLSearchParams(Buffer.from(body).toString("latin1")).getAll("payload");
  if (payloads.length !== 1) return refuse(400, "payload", `the form has ${payloads.length} fields named payload`);
  const payloadBytes = Buffer.from(payloads[0]!);
  return { headers, signedBytes: forge === "github" ? body : payloadBytes, payloadBytes };
}

/** Reads JSON whose texts the database can hold, and that is nested no deeper than the limit. */
export function parsePayload(bytes: Uint8Array): { payload: unknown } | { error: string } {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return { error: "the payload is not UTF-8" };
  }
  if (nestingOf(text) > nestingLimit) return { error: `the payload is nested deeper than ${nestingLimit}` };
  try {
    return { payload: JSON.parse(text) as unknown };
  } catch {
    return { error: "the payload is not JSON" };
  }
}

function nestingOf(text: string): number {
  let depth = 0;
  let deepest = 0;
  let inText = false;
  for (let index = 0; index < text.length; index += 1) {
    const character = text[index];
    if (inText && character === "\\") index += 1;
    else if (character === '"') inText = !inText;
    else if (!inText && (character === "{" || character === "[")) deepest = Math.max(deepest, (depth += 1));
    else if (!inText && (character === "}" || character === "]")) depth -= 1;
  }
  return deepest;
}

function firstOf(headers: Headers, names: readonly string[]): string {
  const value = names.map((name) => headers.get(name)?.[0]).find((one) => one !== undefined && one !== "");
  return (value ?? "").toWellFormed().replaceAll("\0", "");
}

function refuse(
  status: WebhookRefusal["status"],
  rule: WebhookRefusal["rule"],
  reason: string,
): { refused: WebhookRefusal } {
  return { refused: { status, rule, reason } };
}
