import type { DescMethod, DescMethodStreaming, DescMethodUnary, Message } from "@bufbuild/protobuf";
import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import { BadRequestSchema, ErrorInfoSchema } from "../../proto/gen/google/rpc/error_details_pb.ts";

/** How a call ended: with messages, or with a code and, from the control plane itself, a reason and the fields that are to blame. */
export type Outcome =
  | { kind: "answered"; messages: Message[] }
  | { kind: "failed"; code: string; reason: string | undefined; message: string; fields: string[] };

const callTimeout_ms = 20_000;

/** Calls any method; of a stream, sends one message and waits for an answer or the end. */
export async function call(transport: Transport, method: DescMethod, request: Message): Promise<Outcome> {
  const abort = new AbortController();
  try {
    if (method.methodKind !== "unary")
      return { kind: "answered", messages: await answers(transport, method, request, abort.signal) };
    const { message } = await transport.unary(
      method as DescMethodUnary,
      abort.signal,
      callTimeout_ms,
      undefined,
      request,
    );
    return { kind: "answered", messages: [message] };
  } catch (error) {
    return outcomeOf(error);
  } finally {
    abort.abort();
  }
}

/** The outcome that an error means. */
export function outcomeOf(error: unknown): Outcome & { kind: "failed" } {
  const connectError = ConnectError.from(error);
  const [info] = connectError.findDetails(ErrorInfoSchema);
  const fields = connectError
    .findDetails(BadRequestSchema)
    .flatMap(({ fieldViolations }) => fieldViolations.map(({ field }) => field));
  return {
    kind: "failed",
    code: Code[connectError.code],
    reason: info?.reason,
    message: connectError.rawMessage,
    fields,
  };
}

/** Of a stream that is open on both sides, all answers to the one message; of others the first, since they may go on for ever. */
async function answers(
  transport: Transport,
  method: DescMethod,
  request: Message,
  signal: AbortSignal,
): Promise<Message[]> {
  async function* one() {
    yield request;
  }
  const response = await transport.stream(method as DescMethodStreaming, signal, callTimeout_ms, undefined, one());
  const messages: Message[] = [];
  for await (const message of response.message) {
    messages.push(message);
    if (method.methodKind === "server_streaming") break;
  }
  return messages;
}
