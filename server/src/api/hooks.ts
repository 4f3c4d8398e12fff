/* What forges and other programs post to: `POST /hooks/<trigger id>`. */
import type http from "node:http";
import { isId } from "../../../wire/ids.ts";
import type { Logger } from "pino";
import type { TriggerRow } from "../store/triggers.ts";
import type { Acceptance } from "../triggers/accept-webhook.ts";
import type { WebhookRequest } from "../triggers/webhook-request.ts";

export type HooksDeps = {
  log: Logger;
  /** The largest body that is read. */
  limit_bytes: number;
  find: (id: string) => Promise<TriggerRow | undefined>;
  accept: (trigger: TriggerRow, request: WebhookRequest) => Promise<Acceptance>;
};

/** Answers a request to a hook. */
export type Hooks = (request: http.IncomingMessage, response: http.ServerResponse) => void;

const prefix = "/hooks/";
/** Bodies that are being read at once: so many times the limit is the most memory that they take. */
const readersLimit = 64;
const bodyTimeout_ms = 30_000;
const retryAfter_s = "30";

/** Whether a request is for a hook. */
export function isHookPath(path: string): boolean {
  return path.startsWith(prefix);
}

/** Answers each delivery with JSON: what accepting it says, or 404 for no trigger, 405 for no POST, 503 where there is no room now. */
export function createHooks(deps: HooksDeps): Hooks {
  let readers = 0;
  const answer = async (request: http.IncomingMessage): Promise<Answer> => {
    const id = (request.url ?? "").slice(prefix.length);
    if (request.method !== "POST") return { status: 405, body: { error: "post a delivery" } };
    const trigger = isId("trigger", id) ? await deps.find(id) : undefined;
    if (!trigger) return { status: 404, body: { error: "there is no webhook of this id" } };
    if (readers >= readersLimit) return { status: 503, body: { error: "too many deliveries at once" } };
    readers += 1;
    try {
      const body = await readBody(request, deps.limit_bytes);
      if ("refused" in body) return body.refused;
      return await deps.accept(trigger, { headers: headersOf(request), body: body.bytes });
    } finally {
      readers -= 1;
    }
  };
  return (request, response) => {
    answer(request)
      .catch((error: unknown): Answer => {
        deps.log.error({ err: error }, "a delivery was not taken");
        return { status: 503, body: { error: "the delivery could not be written down: try again later" } };
      })
      .then(({ status, body }) => {
        const isBusy = status === 503 || status === 429;
        // What was not read of a body would be read as the next request.
        if (!request.complete) response.once("finish", () => request.destroy());
        response.writeHead(status, {
          "content-type": "application/json; charset=utf-8",
          "x-content-type-options": "nosniff",
          "cache-control": "no-store",
          ...(isBusy && { "retry-after": retryAfter_s }),
          ...(!request.complete && request.httpVersionMajor === 1 && { connection: "close" }),
        });
        response.end(`${JSON.stringify(body)}\n`);
      })
      .catch(() => response.destroy());
  };
}

type Answer = { status: number; body: Acceptance["body"] };

/** Names in lower case; one that was sent twice is there twice. */
function headersOf({ rawHeaders }: http.IncomingMessage): [string, string][] {
  const pairs: [string, string][] = [];
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    pairs.push([rawHeaders[index]!.toLowerCase(), rawHeaders[index + 1]!]);
  }
  return pairs;
}

async function readBody(
  request: http.IncomingMessage,
  limit_bytes: number,
): Promise<{ bytes: Uint8Array } | { refused: Answer }> {
  const tooLarge = { status: 413, body: { error: `the body is larger than ${limit_bytes} bytes` } };
  if (Number(request.headers["content-length"] ?? 0) > limit_bytes) return { refused: tooLarge };
  const chunks: Buffer[] = [];
  let length = 0;
  const timer = setTimeout(() => request.destroy(new Error("the body did not come")), bodyTimeout_ms);
  try {
    for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      length += chunk.length;
      if (length > limit_bytes) return { refused: tooLarge };
      chunks.push(chunk);
    }
  } catch {
    return { refused: { status: 400, body: { error: "the body ended early" } } };
  } finally {
    clearTimeout(timer);
  }
  return { bytes: Buffer.concat(chunks) };
}
