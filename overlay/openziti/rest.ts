import { once } from "node:events";
import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import https from "node:https";
import { z } from "zod";
import { messageOf, OverlayError, type OverlayReason } from "../errors.ts";
import { readTlsError } from "./connect-tls.ts";
import type { Credential } from "./credential.ts";

/** One call. A `form` is sent as such, `json` as JSON, `text` as the content type says. */
export interface Call {
  readonly method: "GET" | "POST" | "PATCH" | "DELETE";
  /** Path and query. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly json?: unknown;
  readonly form?: Readonly<Record<string, string>>;
  readonly text?: string;
}

/** What came back, whatever the status. */
export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

/** The controller of a network, as one credential reaches it; where there are several, the one that answers. */
export interface Controller {
  /** `https://host:port` of the one that is called next, and nothing behind it. */
  readonly origin: string;
  /** Rejects with an `OverlayError` where no answer comes, or with the reason of `signal`. */
  call(call: Call, signal: AbortSignal): Promise<Answer>;
  /** Closes idle connections. */
  close(): void;
}

/** Below this path lies the API for clients. */
export const clientApi = "/edge/client/v1";
/** The session by which one asks. */
export const currentSession = `${clientApi}/current-api-session`;

/** Largest answer that is taken. */
const maxAnswer_bytes = 4 * 1024 * 1024;
/** How long a controller may take for one call. */
const callTimeout_ms = 15_000;
const connections = 4;

const errorEnvelope = z.object({
  error: z.object({
    code: z.string().optional(),
    message: z.string().optional(),
    causeMessage: z.string().optional(),
    cause: z.looseObject({ reason: z.string().optional(), message: z.string().optional() }).optional(),
  }),
});

/** One URL, or those of all controllers of one network. */
export type ControllerUrls = string | readonly string[];

/**
 * The controllers at `urls`, known by the credential's authorities and shown its certificate. Throws where one is none. One
 * that cannot be reached gives way to the next at once, and one that breaks off or is silent from the next call on.
 */
export function createController(
  urls: ControllerUrls,
  credential: Pick<Credential, "caPem"> & Partial<Credential>,
): Controller {
  const origins = [urls].flat().map(readOrigin);
  let turn = 0;
  const agent = new https.Agent({
    ca: credential.caPem,
    ...(credential.keyPem !== undefined && { key: credential.keyPem }),
    ...(credential.certPem !== undefined && { cert: credential.certPem }),
    keepAlive: true,
    maxSockets: connections,
    minVersion: "TLSv1.2",
  });
  const current = () => origins[turn % origins.length]!;

  async function callOne({ origin, host }: URL, call: Call, signal: AbortSignal): Promise<Answer> {
    const timeout = AbortSignal.timeout(callTimeout_ms);
    try {
      return await request(origin, call, { agent, signal: AbortSignal.any([signal, timeout]) });
    } catch (error) {
      signal.throwIfAborted();
      if (timeout.aborted)
        throw new OverlayError("timeout", `controller ${host} took longer than ${callTimeout_ms} ms`);
      throw readTlsError(error, `controller ${host}`);
    }
  }

  return {
    get origin() {
      return current().origin;
    },
    close: () => agent.destroy(),
    async call(call, signal) {
      for (let attempt = 1; ; attempt++) {
        const controller = current();
        try {
          return await callOne(controller, call, signal);
        } catch (error) {
          if (current() === controller) turn++;
          signal.throwIfAborted();
          if (attempt >= origins.length || !mayRepeat(call, error)) throw error;
        }
      }
    },
  };
}

/** What was perhaps heard must not be said twice, unless it only asks. */
function mayRepeat({ method }: Call, error: unknown): boolean {
  if (!(error instanceof OverlayError)) return false;
  return error.reason === "unreachable" || (method === "GET" && error.reason === "broken");
}

function readOrigin(url: string): URL {
  const parsed = URL.parse(url);
  if (parsed?.protocol !== "https:")
    throw new TypeError(`the controller's address must be an https:// URL, not ${url}`);
  return parsed;
}

/** Makes a call and reads its answer. Rejects with what the system said. */
export async function request(origin: string, call: Call, options: https.RequestOptions): Promise<Answer> {
  const { type, body } = bodyOf(call);
  const outgoing = https.request(new URL(call.path, origin), {
    ...options,
    method: call.method,
    headers: {
      accept: "application/json",
      ...(type !== undefined && { "content-type": type, "content-length": Buffer.byteLength(body) }),
      ...call.headers,
    },
  });
  outgoing.end(body);
  const [incoming] = (await once(outgoing, "response")) as [IncomingMessage];
  return { status: incoming.statusCode ?? 0, headers: incoming.headers, text: await readText(incoming) };
}

function bodyOf({ json, form, text }: Call): { type: string | undefined; body: string } {
  if (json !== undefined) return { type: "application/json", body: JSON.stringify(json) };
  if (form !== undefined)
    return { type: "application/x-www-form-urlencoded", body: new URLSearchParams(form).toString() };
  return { type: text === undefined ? undefined : "text/plain", body: text ?? "" };
}

async function readText(incoming: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  let length = 0;
  for await (const piece of incoming as AsyncIterable<Buffer>) {
    length += piece.length;
    if (length > maxAnswer_bytes) throw new OverlayError("broken", `an answer is longer than ${maxAnswer_bytes} bytes`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString();
}

/** The `data` of a successful answer, as `schema` describes it. Throws an `OverlayError` otherwise; `what` says what was asked for. */
export function readData<T>(answer: Answer, schema: z.ZodType<T>, what: string): T {
  return readBody(answer, z.object({ data: schema }), what).data;
}

/** A successful answer's whole body, as `schema` describes it. Throws an `OverlayError` otherwise. */
export function readBody<T>(answer: Answer, schema: z.ZodType<T>, what: string): T {
  if (answer.status < 200 || answer.status > 299) throw readFailure(answer, what);
  const parsed = schema.safeParse(parseJson(answer.text, what));
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw broken(what, `${issue?.path.join(".") ?? ""} ${issue?.message ?? ""}`);
}

/** What a controller's refusal means. */
export function readFailure({ status, text }: Answer, what: string): OverlayError {
  const parsed = errorEnvelope.safeParse(tryJson(text));
  const error = parsed.success ? parsed.data.error : undefined;
  const words = [error?.code, error?.message, error?.cause?.reason ?? error?.cause?.message ?? error?.causeMessage];
  const said = words.filter((word) => word !== undefined && word !== "").join(": ");
  const noRouter = error?.code?.startsWith("NO_EDGE_ROUTERS") === true;
  return new OverlayError(
    noRouter ? "unreachable" : reasonOf(status),
    `${what}: the controller answered ${status}${said === "" ? "" : ` ${said}`}`,
  );
}

function reasonOf(status: number): OverlayReason {
  if ([400, 401, 403].includes(status)) return "unauthorized";
  return [404, 409, 429].includes(status) || status >= 500 ? "unreachable" : "broken";
}

function parseJson(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw broken(what, messageOf(error));
  }
}

function tryJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function broken(what: string, why: string): OverlayError {
  return new OverlayError("broken", `${what}: the controller's answer is not what it should be: ${why}`);
}
