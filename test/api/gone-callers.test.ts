import { once } from "node:events";
import http from "node:http";
import http2 from "node:http2";
import type { AddressInfo } from "node:net";
import { create, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, createContextValues, type Interceptor } from "@connectrpc/connect";
import { encodeEnvelope } from "@connectrpc/connect/protocol";
import pino from "pino";
import { expect, test } from "vitest";
import { FollowLogRequestSchema, LogsService } from "../../proto/gen/agyn/logs/v1/logs_service_pb.ts";
import { createErrorInterceptor } from "../../server/src/api/interceptors/errors.ts";
import { createRequestHandler } from "../../server/src/api/request-handler.ts";

const path = "/agyn.logs.v1.LogsService/FollowLog";
const request = encodeEnvelope(0, toBinary(FollowLogRequestSchema, create(FollowLogRequestSchema)));

/** A method that answers without end, whoever listens: the lines of the server's log about it, and how its answer ended. */
function createEndless() {
  const logged: string[] = [];
  const { promise: ended, resolve: end } = Promise.withResolvers<Code | undefined>();
  const errors = createErrorInterceptor(pino({}, { write: (line: string) => void logged.push(line) }), () => undefined);
  const onEnd: Interceptor = (next) => async (call) => {
    const response = await next(call);
    if (!response.stream) return response;
    return { ...response, message: noting(response.message, end) };
  };
  const handler = createRequestHandler({
    routes: (router) => router.service(LogsService, { followLog: endless }),
    interceptors: [onEnd, errors],
    readMaxBytes: 4096,
    contextValues: () => createContextValues(),
  });
  return { handler, logged, ended };
}

async function* endless() {
  for (;;) {
    yield { lines: [{ content: new Uint8Array(65_536) }] };
    await new Promise((resolve) => setImmediate(resolve));
  }
}

async function* noting<T>(messages: AsyncIterable<T>, end: (code?: Code) => void): AsyncIterable<T> {
  try {
    yield* messages;
  } catch (error) {
    end(ConnectError.from(error).code);
    throw error;
  } finally {
    end();
  }
}

async function listen(server: http.Server | http2.Http2Server): Promise<number> {
  await once(server.listen(0, "127.0.0.1"), "listening");
  return (server.address() as AddressInfo).port;
}

test("a caller of HTTP/2 that leaves in mid-answer is no error of the server", async () => {
  const { handler, logged, ended } = createEndless();
  const server = http2.createServer(handler);
  const session = http2.connect(`http://127.0.0.1:${await listen(server)}`).on("error", () => undefined);
  const stream = session.request({ ":method": "POST", ":path": path, "content-type": "application/grpc" });
  stream.on("error", () => undefined).end(request);
  await once(stream, "data");

  session.destroy();

  expect([undefined, Code.Canceled]).toContain(await ended);
  expect(logged).toEqual([]);
  await new Promise((resolve) => server.close(resolve));
});

test("a caller of HTTP/1.1 that leaves in mid-answer is no error of the server", async () => {
  const { handler, logged, ended } = createEndless();
  const server = http.createServer(handler);
  const headers = { "content-type": "application/connect+proto" };
  const call = http.request({ port: await listen(server), method: "POST", path, headers }).on("error", () => undefined);
  call.end(request);
  const [answer] = (await once(call, "response")) as [http.IncomingMessage];
  await once(answer, "data");

  call.destroy();

  expect([undefined, Code.Canceled]).toContain(await ended);
  expect(logged).toEqual([]);
  await new Promise((resolve) => server.close(resolve));
});
