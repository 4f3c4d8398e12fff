import { once } from "node:events";
import http2 from "node:http2";
import type { AddressInfo } from "node:net";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Code, createClient, createContextValues, type ConnectError, type HandlerContext } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { encodeEnvelope } from "@connectrpc/connect/protocol";
import pino from "pino";
import { expect, test } from "vitest";
import {
  GetOrganizationRequestSchema,
  GetOrganizationResponseSchema,
  OrganizationsService,
} from "../../proto/gen/agyn/organizations/v1/organizations_service_pb.ts";
import { createErrorInterceptor } from "../../server/src/api/interceptors/errors.ts";
import { createRequestHandler } from "../../server/src/api/request-handler.ts";
import { AgynError } from "../../server/src/domain/errors.ts";

const limit_bytes = 4096;
const path = "/agyn.organizations.v1.OrganizationsService/GetOrganization";
const errors = createErrorInterceptor(pino({ enabled: false }), () => undefined);

type Handle = (organization: string, context: HandlerContext) => Promise<string>;

/** A port with one method: it is told a reference, and answers with a name. */
async function openPort(handle: Handle) {
  const handler = createRequestHandler({
    routes: (router) =>
      router.service(OrganizationsService, {
        async getOrganization({ organization }, context) {
          return { organization: { name: await handle(organization, context) } };
        },
      }),
    interceptors: [errors],
    readMaxBytes: limit_bytes,
    contextValues: () => createContextValues(),
  });
  const server = http2.createServer(handler);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const session = http2.connect(baseUrl);
  return {
    session,
    client: createClient(OrganizationsService, createGrpcTransport({ baseUrl })),
    async [Symbol.asyncDispose]() {
      session.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

const asking = (organization: string) =>
  encodeEnvelope(0, toBinary(GetOrganizationRequestSchema, create(GetOrganizationRequestSchema, { organization })));

/** Sends a body as it is, without a word on what may be compressed; answers the status, and what came. */
async function post(session: http2.ClientHttp2Session, body: Uint8Array, headers: http2.OutgoingHttpHeaders = {}) {
  const fixed = { ":method": "POST", ":path": path, "content-type": "application/grpc", te: "trailers" };
  const stream = session.request({ ...fixed, ...headers });
  const chunks: Buffer[] = [];
  let trailers: http2.IncomingHttpHeaders = {};
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  stream.on("trailers", (sent: http2.IncomingHttpHeaders) => (trailers = sent));
  const responded = once(stream, "response");
  stream.end(body);
  const [header] = (await responded) as [http2.IncomingHttpHeaders];
  await once(stream, "end");
  return { header, status: Number(trailers["grpc-status"]), body: Buffer.concat(chunks) };
}

test("a call is answered, with what its handler says and its status behind", async () => {
  await using port = await openPort(async (organization) => `${organization}!`);

  const { header, status, body } = await post(port.session, asking("acme"));

  expect([header[":status"], header["content-type"], status]).toEqual([200, "application/grpc+proto", 0]);
  expect(fromBinary(GetOrganizationResponseSchema, body.subarray(5)).organization?.name).toBe("acme!");
});

test("a request that comes in pieces is one request", async () => {
  await using port = await openPort(async (organization) => organization);
  const stream = port.session.request({ ":method": "POST", ":path": path, "content-type": "application/grpc" });
  const trailers = once(stream, "trailers");

  for (const byte of asking("acme")) await new Promise((resolve) => stream.write(Buffer.of(byte), resolve));
  stream.end();

  expect((await trailers)[0]).toMatchObject({ "grpc-status": "0" });
});

test("a refusal comes with its reason and details", async () => {
  await using port = await openPort(async () => {
    throw new AgynError("NAME_TAKEN", "the name größe is taken");
  });

  const refused: unknown = await port.client.getOrganization({ organization: "acme" }).catch((error: unknown) => error);

  expect(refused).toMatchObject({ code: Code.AlreadyExists, rawMessage: "the name größe is taken" });
  expect((refused as ConnectError).details).toHaveLength(1);
});

test.each([
  ["nothing", Buffer.alloc(0), Code.InvalidArgument],
  ["half a message", asking("acme").subarray(0, 8), Code.InvalidArgument],
  ["two messages", Buffer.concat([asking("acme"), asking("acme")]), Code.InvalidArgument],
  [
    "a compressed message of no known form",
    Buffer.concat([Buffer.of(1), asking("a").subarray(1)]),
    Code.InvalidArgument,
  ],
  ["no protobuf", encodeEnvelope(0, Buffer.from("\xff\xff")), Code.InvalidArgument],
  ["more than the limit", asking("a".repeat(100_000)), Code.ResourceExhausted],
])("a request of %s is refused, and the connection goes on", async (_what, body, code) => {
  await using port = await openPort(async (organization) => organization);

  expect(await post(port.session, body)).toMatchObject({ status: code });
  expect(await post(port.session, asking("acme"))).toMatchObject({ status: 0 });
});

test("a large answer is compressed for a caller that says it can read that", async () => {
  await using port = await openPort(async () => "a".repeat(50_000));

  const plain = await post(port.session, asking("acme"));
  const packed = await post(port.session, asking("acme"), { "grpc-accept-encoding": "gzip" });
  const { organization } = await port.client.getOrganization({ organization: "acme" });

  expect([plain.header["grpc-encoding"], packed.header["grpc-encoding"]]).toEqual([undefined, "gzip"]);
  expect(packed.body.length).toBeLessThan(plain.body.length / 10);
  expect(organization?.name).toHaveLength(50_000);
});

test("a handler whose caller leaves is told so", async () => {
  const left = Promise.withResolvers<AbortSignal>();
  await using port = await openPort(async (_organization, { signal }) => {
    stream.close(http2.constants.NGHTTP2_CANCEL);
    await once(signal, "abort");
    left.resolve(signal);
    return "";
  });
  const stream = port.session.request({ ":method": "POST", ":path": path, "content-type": "application/grpc" });
  stream.end(asking("acme"));

  expect((await left.promise).reason).toMatchObject({ code: Code.Canceled });
});

test("a call with a deadline ends with it", async () => {
  await using port = await openPort((_organization, { signal }) => once(signal, "abort").then(() => ""));

  const call = port.client.getOrganization({ organization: "acme" }, { timeoutMs: 100 });

  await expect(call).rejects.toMatchObject({ code: Code.DeadlineExceeded });
});
