import type { DescMethod, DescMethodStreaming, DescMethodUnary, Message } from "@bufbuild/protobuf";
import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import { ErrorInfoSchema } from "../../proto/gen/google/rpc/error_details_pb.ts";

/** How a call ended: with an answer, or with a code and, from the control plane itself, a reason. */
export type Outcome = { kind: "answered" } | { kind: "failed"; code: string; reason: string | undefined; message: string };

const callTimeout_ms = 20_000;

/** Calls any method; of a stream, sends one message and waits for the first answer or the end. */
export async function call(transport: Transport, method: DescMethod, request: Message): Promise<Outcome> {
  const abort = new AbortController();
  try {
    if (method.methodKind === "unary") await transport.unary(method as DescMethodUnary, abort.signal, callTimeout_ms, undefined, request);
    else await firstAnswer(transport, method as DescMethodStreaming, request, abort);
    return { kind: "answered" };
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
  return { kind: "failed", code: Code[connectError.code], reason: info?.reason, message: connectError.rawMessage };
}

async function firstAnswer(transport: Transport, method: DescMethodStreaming, request: Message, { signal }: AbortController): Promise<void> {
  async function* one() {
    yield request;
  }
  const response = await transport.stream(method, signal, callTimeout_ms, undefined, one());
  await response.message[Symbol.asyncIterator]().next();
}
