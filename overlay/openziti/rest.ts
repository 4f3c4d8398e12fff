import { once } from "node:events";
import type { ClientRequest, IncomingHttpHeaders, IncomingMessage } from "node:http";
import https from "node:https";
import { z } from "zod";
import { codeOf, messageOf, OverlayError, type OverlayReason } from "../errors.ts";
import { readTlsError } from "./connect-tls.ts";
import type { ControllerList } from "./controller-list.ts";
import type { Credential } from "./credential.ts";
import { legible } from "./message.ts";

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
/** A token as an answer has it. It goes into headers, which take nothing else. */
export const tokenText = z
  .string()
  .regex(/^[\x21-\x7e]+$/)
  .max(65_536);

/** The session by which one asks. */
export const currentSession = `${clientApi}/current-api-session`;

/** Largest answer that is taken. */
const maxAnswer_bytes = 4 * 1024 * 1024;
/** How long a controller may take for one call. */
const callTimeout_ms = 15_000;
/** Where there is another controller: how long one may take to connect, and to answer what the other may be asked, too. */
const connectTimeout_ms = 3000;
const attemptTimeout_ms = 5000;
const connections = 4;
/** Connections are kept for less time than controllers keep them, so that few calls meet one that is just being closed. */
const keptIdle_ms = 3000;
/** What stands before a controller that is away says so with these. */
const awayStatuses: readonly number[] = [502, 503, 504];
/** A connection that the other end has closed says so with these. */
const resetCodes: readonly string[] = ["ECONNRESET", "EPIPE"];

const errorEnvelope = z.object({
  error: z.object({
    code: z.string().optional(),
    message: z.string().optional(),
    causeMessage: z.string().optional(),
    cause: z.looseObject({ reason: z.string().optional(), message: z.string().optional() }).optional(),
  }),
});

/**
 * The controllers of a list, known by the credential's authorities and shown its certificate. One that cannot be reached gives
 * way to the next at once, and so does one that breaks off, is silent or says that it is away, where a call may be repeated;
 * otherwise it does from the next call on.
 */
export function createController(
  list: ControllerList,
  credential: Pick<Credential, "caPem"> & Partial<Credential>,
): Controller {
  const tls = {
    ca: credential.caPem,
    ...(credential.keyPem !== undefined && { key: credential.keyPem }),
    ...(credential.certPem !== undefined && { cert: credential.certPem }),
    minVersion: "TLSv1.2",
  } as const;
  const agent = new https.Agent({ ...tls, keepAlive: true, maxSockets: connections, timeout: keptIdle_ms });
  const hasOthers = list.size > 1;

  async function callOne({ origin, host }: URL, call: Call, signal: AbortSignal): Promise<Answer> {
    const timeout_ms = hasOthers && isRepeatable(call) ? attemptTimeout_ms : callTimeout_ms;
    const timeout = AbortSignal.timeout(timeout_ms);
    const until = AbortSignal.any([signal, timeout]);
    const outgoing = send(origin, call, { agent, signal: until });
    const connecting = watchConnecting(outgoing, hasOthers ? connectTimeout_ms : callTimeout_ms);
    try {
      return await answerTo(outgoing).catch((error: unknown) => {
        // The controller may have closed a kept connection before it heard of this call.
        const isStale = outgoing.reusedSocket && resetCodes.includes(codeOf(error)) && isRepeatable(call);
        if (!isStale || until.aborted) throw error;
        return answerTo(send(origin, call, { ...tls, agent: false, signal: until }));
      });
    } catch (error) {
      signal.throwIfAborted();
      if (timeout.aborted) throw new OverlayError("timeout", `controller ${host} took longer than ${timeout_ms} ms`);
      const failure = readTlsError(error, `controller ${host}`);
      if (failure.reason !== "broken" || connecting.isDone) throw failure;
      throw new OverlayError("unreachable", failure.message, { cause: error });
    }
  }

  return {
    get origin() {
      return list.current().origin;
    },
    close: () => agent.destroy(),
    async call(call, signal) {
      for (let attempt = 1; ; attempt++) {
        const controller = list.current();
        const isLast = attempt >= list.size;
        try {
          const answer = await callOne(controller, call, signal);
          if (!awayStatuses.includes(answer.status)) return answer;
          list.leave(controller);
          if (isLast || !isRepeatable(call)) return answer;
        } catch (error) {
          signal.throwIfAborted();
          list.leave(controller);
          if (isLast || !mayRepeat(call, error)) throw error;
        }
      }
    },
  };
}

/** Whether saying it twice does what saying it once does. */
function isRepeatable({ method }: Call): boolean {
  return method !== "POST";
}

/** Whether another controller may be asked. What was perhaps heard must not be said twice, unless that does no harm. */
function mayRepeat(call: Call, error: unknown): boolean {
  if (!(error instanceof OverlayError)) return false;
  return error.reason === "unreachable" || (isRepeatable(call) && ["broken", "timeout"].includes(error.reason));
}

/** Whether anything of a call can have been heard. A controller that takes connections and says nothing is given up after so long. */
function watchConnecting(outgoing: ClientRequest, timeout_ms: number): { readonly isDone: boolean } {
  const connecting = { isDone: false };
  outgoing.once("socket", (socket) => {
    connecting.isDone = outgoing.reusedSocket;
    if (connecting.isDone) return;
    const silence = new Error(`it did not connect within ${timeout_ms} ms`);
    const late = setTimeout(() => outgoing.destroy(silence), timeout_ms);
    outgoing.once("close", () => clearTimeout(late));
    socket.once("secureConnect", () => {
      connecting.isDone = true;
      clearTimeout(late);
    });
  });
  return connecting;
}

/** Makes a call and reads its answer. Rejects with what the system said. */
export function request(origin: string, call: Call, options: https.RequestOptions): Promise<Answer> {
  return answerTo(send(origin, call, options));
}

function send(origin: string, call: Call, options: https.RequestOptions): ClientRequest {
  const { type, body } = bodyOf(call);
  const outgoing = https.request(new URL(origin + call.path), {
    ...options,
    method: call.method,
    headers: {
      accept: "application/json",
      ...(type !== undefined && { "content-type": type, "content-length": Buffer.byteLength(body) }),
      ...call.headers,
    },
  });
  outgoing.end(body);
  return outgoing;
}

async function answerTo(outgoing: ClientRequest): Promise<Answer> {
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
  const said = legible(words.filter((word) => word !== undefined && word !== "").join(": "));
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
