import { constants, type Http2ServerRequest, type Http2ServerResponse, type ServerHttp2Stream } from "node:http2";
import {
  Code,
  ConnectError,
  type ContextValues,
  type HandlerContext,
  type Interceptor,
  type MethodImplSpec,
  type ServiceImplSpec,
} from "@connectrpc/connect";
import { compressionBrotli, compressionGzip } from "@connectrpc/connect-node";
import {
  compressionNegotiate,
  createMethodSerializationLookup,
  createMethodUrl,
  encodeEnvelope,
  envelopeCompress,
  invokeUnaryImplementation,
} from "@connectrpc/connect/protocol";
import {
  grpcStatusOk,
  headerAcceptEncoding,
  headerEncoding,
  headerGrpcStatus,
  headerTimeout,
  setTrailerStatus,
} from "@connectrpc/connect/protocol-grpc";

/*
 * Unary calls of gRPC as programs mostly make them: over HTTP/2, in binary, the request not compressed and without a deadline.
 * Connect takes a call of any kind through one chain of asynchronous generators, which costs a short call several times what its
 * handler does. These are read whole, handed to the same interceptors and implementations, and answered at once.
 */

/** Takes a request over where it is such a call; what is answered `false` was not touched. Throws where its headers cannot be read. */
export type GrpcCalls = (
  request: Http2ServerRequest,
  response: Http2ServerResponse,
  values: () => ContextValues,
) => boolean;

export type GrpcCallsOptions = {
  services: readonly ServiceImplSpec[];
  interceptors: Interceptor[];
  /** Bytes of a message in either direction. */
  readMaxBytes: number;
};

type UnarySpec = Extract<MethodImplSpec, { kind: "unary" }>;
type Call = { spec: UnarySpec; path: string; readMaxBytes: number; answer: Answer };
/** Bytes of a request to bytes of its answer. */
type Answer = (request: Uint8Array, context: HandlerContext) => Promise<Uint8Array>;

const contentType = "application/grpc+proto";
const contentTypes: readonly unknown[] = [contentType, "application/grpc"];
/** Headers by which a call is Connect's to answer: of a compressed request, and of a deadline. */
const [encoding, deadline] = [headerEncoding.toLowerCase(), headerTimeout.toLowerCase()];
const plain: readonly unknown[] = [undefined, "identity"];
const compressions = [compressionGzip, compressionBrotli];
/** A smaller answer is not compressed. */
const compressedFrom_bytes = 1024;
/** A flag and a length stand before a message. */
const prefix_bytes = 5;

/** For the unary methods of the services. */
export function createGrpcCalls({ services, interceptors, readMaxBytes }: GrpcCallsOptions): GrpcCalls {
  const specs = services.flatMap(({ methods }) => Object.values(methods)).filter((spec) => spec.kind === "unary");
  const calls = new Map(
    specs.map((spec): [string, Call] => {
      const path = createMethodUrl("/", spec.method);
      return [path, { spec, path, readMaxBytes, answer: createAnswer(spec, interceptors, readMaxBytes) }];
    }),
  );
  return (request, response, values) => {
    const call = calls.get(request.url);
    const { headers } = request;
    const isPlain = plain.includes(headers[encoding]) && headers[deadline] === undefined;
    if (!call || !isPlain || request.method !== "POST" || !contentTypes.includes(headers["content-type"])) return false;
    const called = toContext(call, request, values());
    serve(call, response, called).catch(() => response.stream.close(constants.NGHTTP2_INTERNAL_ERROR));
    return true;
  };
}

function createAnswer(spec: UnarySpec, interceptors: Interceptor[], readMaxBytes: number): Answer {
  const bounds = { readMaxBytes, writeMaxBytes: 0xffffffff };
  const serialization = createMethodSerializationLookup(spec.method, undefined, undefined, bounds);
  const [input, output] = [serialization.getI(true), serialization.getO(true)];
  const parse = (request: Uint8Array) => {
    try {
      return input.parse(request);
    } catch (error) {
      throw new ConnectError(ConnectError.from(error).rawMessage, Code.InvalidArgument);
    }
  };
  return async (request, context) =>
    output.serialize(await invokeUnaryImplementation(spec, context, parse(request), interceptors));
}

async function serve(call: Call, response: Http2ServerResponse, { context, leave }: Called): Promise<void> {
  const { stream } = response;
  stream.once("close", leave);
  const trailer = context.responseTrailer;
  let body: Uint8Array = Buffer.alloc(0);
  try {
    const message = await call.answer(await readMessage(stream, call.readMaxBytes), context);
    body = message.length < compressedFrom_bytes ? encodeEnvelope(0, message) : await compressed(message, context);
    trailer.set(headerGrpcStatus, grpcStatusOk);
  } catch (error) {
    setTrailerStatus(
      trailer,
      error instanceof ConnectError ? error : new ConnectError("internal error", Code.Internal),
    );
  }
  stream.off("close", leave);
  if (stream.destroyed || stream.closed) return;
  response.writeHead(200, { "content-type": contentType, ...Object.fromEntries(context.responseHeader) });
  response.addTrailers(Object.fromEntries(trailer));
  response.end(body);
}

/** An answer as its caller can read it. */
async function compressed(data: Uint8Array, { requestHeader, responseHeader }: HandlerContext): Promise<Uint8Array> {
  const accepted = requestHeader.get(headerAcceptEncoding);
  const { response } = compressionNegotiate(compressions, null, accepted, headerAcceptEncoding);
  if (response) responseHeader.set(headerEncoding, response.name);
  const envelope = await envelopeCompress({ flags: 0, data }, response, compressedFrom_bytes);
  return encodeEnvelope(envelope.flags, envelope.data);
}

/** The one message of a request. Rejects what is none, or larger than the limit. */
async function readMessage(stream: ServerHttp2Stream, limit_bytes: number): Promise<Uint8Array> {
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
  const chunks: Buffer[] = [];
  let size_bytes = 0;
  stream.on("data", (chunk: Buffer) => {
    size_bytes += chunk.length;
    if (size_bytes <= prefix_bytes + limit_bytes) return void chunks.push(chunk);
    // What comes beyond is let pass, so that the answer reaches a caller that sends all before it reads.
    chunks.length = 0;
    reject(new ConnectError(`the request is larger than ${limit_bytes} bytes`, Code.ResourceExhausted));
  });
  stream.once("end", () => resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)));
  const onClose = () => reject(callerGone());
  stream.once("close", onClose);
  const bytes = await promise;
  stream.off("close", onClose);
  const length = bytes.length < prefix_bytes ? -1 : new DataView(bytes.buffer, bytes.byteOffset).getUint32(1);
  if (bytes[0] === 0 && length === bytes.length - prefix_bytes) return bytes.subarray(prefix_bytes);
  throw new ConnectError("protocol error: the request is not one uncompressed message", Code.InvalidArgument);
}

type Called = { context: HandlerContext; leave: () => void };

function toContext({ spec, path }: Call, request: Http2ServerRequest, values: ContextValues): Called {
  const gone = new AbortController();
  const requestHeader = new Headers();
  for (const [name, value] of Object.entries(request.headers))
    if (!name.startsWith(":") && value !== undefined) requestHeader.set(name, String(value));
  const context = {
    method: spec.method,
    service: spec.method.parent,
    signal: gone.signal,
    timeoutMs: () => undefined,
    requestMethod: "POST",
    requestHeader,
    responseHeader: new Headers(),
    responseTrailer: new Headers(),
    protocolName: "grpc",
    values,
    url: `${request.scheme}://${request.authority}${path}`,
  };
  return { context, leave: () => gone.abort(callerGone()) };
}

function callerGone(): ConnectError {
  return new ConnectError("the caller went away", Code.Canceled);
}
