import type { X509Certificate } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import type { z } from "zod";

/** One request as the routes see it. */
export interface Call {
  readonly method: string;
  readonly path: string;
  /** What the pattern's `:name` parts stand for. */
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** The certificate that the client showed, and those it showed with it. */
  readonly peer: X509Certificate | undefined;
  readonly chain: readonly X509Certificate[];
}

/** An answer: an envelope round `data`, or `raw` as it is. */
export interface Answer {
  readonly status: number;
  readonly data?: unknown;
  readonly meta?: object;
  readonly headers?: Readonly<Record<string, string>>;
  readonly raw?: { readonly type: string; readonly body: string };
}

/** What answers `METHOD /path/:id`, and the query parameters that it knows. */
export type Route = readonly [
  pattern: string,
  handle: (call: Call) => Answer | Promise<Answer>,
  query?: readonly string[],
];

/** A refusal in the controller's words. One that is a `violation` shows a fault of the client, and fails the test. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly status: number;
  readonly code: string;
  readonly fault: { readonly field: string; readonly reason: string; readonly value: unknown } | undefined;
  readonly violation: boolean;

  constructor(
    status: number,
    code: string,
    message: string,
    more: { readonly fault?: ApiError["fault"]; readonly violation?: boolean } = {},
  ) {
    super(message);
    this.status = status;
    this.code = code;
    this.fault = more.fault;
    this.violation = more.violation ?? false;
  }
}

export function notFound(what: string): ApiError {
  return new ApiError(404, "NOT_FOUND", `The resource requested was not found or is no longer available: ${what}`);
}

export function unauthorized(): ApiError {
  return new ApiError(401, "UNAUTHORIZED", "The request could not be completed. The session is not authorized");
}

export function invalidAuth(): ApiError {
  return new ApiError(401, "INVALID_AUTH", "The authentication request failed");
}

/** A field that is not as it must be; of the client's making unless `violation` is false. */
export function invalidField(field: string, reason: string, value: unknown, violation = true): ApiError {
  const message = "The supplied request contains an invalid document or no valid accept content were available";
  return new ApiError(400, "COULD_NOT_VALIDATE", message, { fault: { field, reason, value }, violation });
}

/** What a body holds: JSON has no `undefined`, so what is optional is there or is not. */
export type Body<S extends z.ZodType> = { [K in keyof z.output<S>]: Exclude<z.output<S>[K], undefined> };

/** Reads a JSON body that has just the fields of `schema`. */
export function bodyOf<S extends z.ZodType>(call: Call, schema: S): Body<S> {
  if (call.headers["content-type"]?.split(";")[0] !== "application/json") {
    throw invalidField("content-type", "must be application/json", call.headers["content-type"]);
  }
  const read = schema.safeParse(jsonOf(call.body));
  if (read.success) return read.data as Body<S>;

  const [issue] = read.error.issues;
  throw invalidField(issue?.path.join(".") ?? "", issue?.message ?? "", undefined);
}

/** Reads a form that has just these fields. */
export function formOf<F extends string>(call: Call, fields: readonly F[], optional: readonly string[] = []) {
  if (call.headers["content-type"]?.split(";")[0] !== "application/x-www-form-urlencoded") {
    throw invalidField("content-type", "must be application/x-www-form-urlencoded", call.headers["content-type"]);
  }
  const form = new URLSearchParams(call.body.toString());
  const isKnown = (key: string) => optional.includes(key) || fields.some((field) => field === key);
  for (const [key, value] of form) {
    if (!isKnown(key)) throw invalidField(key, "no such field", value);
    if (form.getAll(key).length > 1) throw invalidField(key, "comes twice", value);
  }
  for (const field of fields) if (!form.get(field)) throw invalidField(field, "is required", undefined);
  return Object.fromEntries(form) as Record<F, string> & Record<string, string | undefined>;
}

/** The route of a request, with what its pattern's names stand for. */
export function findRoute(routes: readonly Route[], method: string, path: string) {
  const parts = path.split("/");
  for (const route of routes) {
    const [verb, pattern = ""] = route[0].split(" ");
    const wanted = pattern.split("/");
    if (verb !== method || wanted.length !== parts.length) continue;
    const params = paramsOf(wanted, parts);
    if (params !== undefined) return { route, params };
  }
  return undefined;
}

function paramsOf(wanted: readonly string[], parts: readonly string[]): Record<string, string> | undefined {
  const params: Record<string, string> = {};
  for (const [index, want] of wanted.entries()) {
    const part = parts[index] ?? "";
    if (want.startsWith(":")) params[want.slice(1)] = decodeURIComponent(part);
    else if (want !== part) return undefined;
  }
  return params;
}

function jsonOf(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString()) as unknown;
  } catch {
    throw new ApiError(400, "COULD_NOT_PARSE_BODY", "The body of the request is no JSON", { violation: true });
  }
}
