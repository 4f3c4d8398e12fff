import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import type { Logger } from "pino";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RetryInfoSchema,
} from "../../../../proto/gen/google/rpc/error_details_pb.ts";
import { createId } from "../../../../wire/ids.ts";
import { AgynError, type Reason } from "../../domain/errors.ts";

const codes: Record<Reason, Code> = {
  INVALID_ARGUMENT: Code.InvalidArgument,
  UNAUTHENTICATED: Code.Unauthenticated,
  PERMISSION_DENIED: Code.PermissionDenied,
  TOKEN_SCOPE: Code.PermissionDenied,
  NOT_FOUND: Code.NotFound,
  NAME_TAKEN: Code.AlreadyExists,
  AMBIGUOUS_REFERENCE: Code.InvalidArgument,
  NO_RUNNER: Code.FailedPrecondition,
  RUNNER_BUSY: Code.FailedPrecondition,
  RUNNER_HAS_LIVE_SESSION: Code.Unavailable,
  IDENTITY_SUPERSEDED: Code.PermissionDenied,
  IDENTITY_REVOKED: Code.PermissionDenied,
  IDENTITY_EXPIRED: Code.Unauthenticated,
  RUNNER_LOCKED: Code.PermissionDenied,
  SERVICE_TOKEN_INVALID: Code.Unauthenticated,
  SERVICE_TOKEN_REFUSED: Code.PermissionDenied,
  NONCE_INVALID: Code.Unauthenticated,
  CSR_INVALID: Code.InvalidArgument,
  STALE_FENCE: Code.FailedPrecondition,
  STATE: Code.FailedPrecondition,
  CURSOR_EXPIRED: Code.OutOfRange,
  IDEMPOTENCY_KEY_REUSED: Code.AlreadyExists,
  LIMIT: Code.ResourceExhausted,
  UNAVAILABLE: Code.Unavailable,
  PROTOCOL: Code.FailedPrecondition,
  WRONG_PLANE: Code.Unimplemented,
  INTERNAL: Code.Internal,
  CANCELLED: Code.Canceled,
  SOURCE: Code.FailedPrecondition,
};

/** An error as it leaves the server: gRPC code, closed reason, details. */
export function toConnectError(error: AgynError): ConnectError {
  const { metadata = {}, violations, retryAfter_ms } = error.details;
  const connectError = new ConnectError(error.message, codes[error.reason]);
  connectError.details.push({
    desc: ErrorInfoSchema,
    value: create(ErrorInfoSchema, { reason: error.reason, domain: "agyn", metadata }),
  });
  if (violations) {
    const fieldViolations = violations.map(({ field, description }) => ({ field, description }));
    connectError.details.push({ desc: BadRequestSchema, value: create(BadRequestSchema, { fieldViolations }) });
  }
  if (retryAfter_ms !== undefined) {
    connectError.details.push({
      desc: RetryInfoSchema,
      value: create(RetryInfoSchema, { retryDelay: durationFromMs(retryAfter_ms) }),
    });
  }
  return connectError;
}

/** Translates every error of calls and streams; what is not of the closed set is logged under an id and leaves as `internal` with that id. */
export function createErrorInterceptor(log: Logger, onRefusal: (reason: Reason) => void): Interceptor {
  const translate = (error: unknown, method: string): ConnectError => {
    if (error instanceof AgynError) {
      onRefusal(error.reason);
      return toConnectError(error);
    }
    if (error instanceof ConnectError && error.code !== Code.Internal && error.code !== Code.Unknown) return error;
    if (isUndecodable(error)) return translate(new AgynError("INVALID_ARGUMENT", error.rawMessage), method);
    if (isGoneCaller(error)) return new ConnectError("the caller went away", Code.Canceled);
    const id = createId("event");
    log.error({ error_id: id, method, err: error }, "request failed");
    onRefusal("INTERNAL");
    return toConnectError(new AgynError("INTERNAL", `internal error ${id}: the cause is in the server's log`));
  };
  return (next) => async (request) => {
    const method = `${request.service.typeName}/${request.method.name}`;
    try {
      const response = await next(request);
      if (!response.stream) return response;
      return { ...response, message: translating(response.message, (error) => translate(error, method)) };
    } catch (error) {
      throw translate(error, method);
    }
  };
}

/** A message of a stream that is no protobuf, which the library calls internal; it is the sender's fault. */
function isUndecodable(error: unknown): error is ConnectError {
  return error instanceof ConnectError && error.rawMessage.startsWith("parse binary: ");
}

/** What reading from a caller that left fails with, and writing to one. */
const goneCodes: ReadonlySet<string | undefined> = new Set([
  "ERR_STREAM_PREMATURE_CLOSE",
  "ECONNRESET",
  "ERR_HTTP2_STREAM_ERROR",
  "ERR_HTTP2_SESSION_ERROR",
  "ERR_HTTP2_INVALID_STREAM",
  "ERR_STREAM_DESTROYED",
  "EPIPE",
]);

/** A stream that its caller cut: nobody is there to be answered. */
function isGoneCaller(error: unknown): boolean {
  return goneCodes.has((error as NodeJS.ErrnoException | undefined)?.code);
}

async function* translating<T>(
  messages: AsyncIterable<T>,
  translate: (error: unknown) => ConnectError,
): AsyncIterable<T> {
  try {
    yield* messages;
  } catch (error) {
    throw translate(error);
  }
}
