import { join } from "node:path";
import {
  type ChannelCredentials,
  type ChannelOptions,
  credentials,
  loadPackageDefinition,
  Metadata,
  type ClientDuplexStream,
  type ClientReadableStream,
  type ServiceError,
} from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openContractWorld, type ContractWorld } from "./world.ts";

/*
 * The contract as somebody without our code meets it: Google's own client, and the .proto files read at run time.
 */

/** The runner plane's certificate names no host; the client wants some name to ask for. */
const serverName = { "grpc.ssl_target_name_override": "control-plane" };

type Fields = Record<string, unknown>;
type Unary = (
  request: Fields,
  metadata: Metadata,
  options: { deadline: number },
  callback: (error: ServiceError | null, answer?: Fields) => void,
) => void;
type Snapshot = { runners: Fields[]; snapshot_complete: boolean };
type Duplex = (metadata: Metadata, options: { deadline: number }) => ClientDuplexStream<Fields, Fields>;
type ServerStream = (
  request: Fields,
  metadata: Metadata,
  options: { deadline: number },
) => ClientReadableStream<Fields>;
type PlainClient = Record<string, unknown> & { close(): void };

const root = join(import.meta.dirname, "../../proto");
const timeout_ms = 20_000;
const files = [
  "agyn/runners/v1/runners_service.proto",
  "agyn/orchestrator/v1/orchestrator_service.proto",
  "agyn/logs/v1/logs_service.proto",
  "grpc/health/v1/health.proto",
  "grpc/reflection/v1/reflection.proto",
];
const definition = loadSync(files, {
  includeDirs: [root],
  keepCase: true,
  longs: String,
  enums: String,
  defaults: true,
  oneofs: true,
});
const packages = loadPackageDefinition(definition);

let contract: ContractWorld;
const clients: PlainClient[] = [];

beforeAll(async () => {
  contract = await openContractWorld();
});
afterAll(async () => {
  for (const client of clients) client.close();
  await contract.close();
});

test("a plain gRPC client calls a method with a token, and reads the reason and details of a refusal", async () => {
  const runners = open("agyn.runners.v1.RunnersService");
  const { runner } = (await unary(
    runners,
    "GetRunner",
    { runner: contract.acme.runnerId },
    contract.users.vera.token,
  )) as { runner: Fields };
  expect(runner).toMatchObject({ name: "first", status: "RUNNER_STATUS_PENDING" });
  const refused = unary(runners, "PauseRunner", { runner: "first" }, contract.users.vera.token);
  await expect(refused).rejects.toMatchObject({ code: 7, details: expect.stringContaining("owner") });
  const error = await unary(runners, "GetRunner", { runner: "first" }).catch(
    (reason: unknown) => reason as ServiceError,
  );
  expect((error as ServiceError).metadata.get("grpc-status-details-bin").toString()).toContain("UNAUTHENTICATED");
});

test("a plain gRPC client watches runners: a snapshot, then a change", async () => {
  const runners = open("agyn.runners.v1.RunnersService");
  const watch = serverStream(runners, "WatchRunners", { organization: "acme" }, contract.users.vera.token);
  const ids: unknown[] = [];
  let registeredId: string | undefined;
  for await (const message of watch) {
    const { runners: changed, snapshot_complete: isComplete } = message as Snapshot;
    ids.push(...changed.map(({ id }) => id));
    if (isComplete) registeredId = (await contract.registerRunner("acme")).runnerId;
    if (ids.includes(registeredId)) break;
  }
  watch.cancel();
  expect(ids).toContain(contract.acme.runnerId);
});

test("a plain gRPC client follows the log of a workload that never ran to its end", async () => {
  const logs = open("agyn.logs.v1.LogsService");
  const follow = serverStream(logs, "FollowLog", { workload: contract.acme.workloadId }, contract.users.vera.token);
  const messages: unknown[] = [];
  for await (const message of follow) messages.push(message);
  expect(messages).toEqual([]);
});

test("a plain gRPC client with a runner's certificate exchanges metrics on the runner plane", async () => {
  const { keyPem, chainPem, rootPem } = await contract.enroll(contract.acme.serviceToken);
  const pem = [rootPem, keyPem, chainPem].map((text) => Buffer.from(text)) as [Buffer, Buffer, Buffer];
  const verified = credentials.createSsl(...pem, { checkServerIdentity: () => undefined });
  const { host, port } = contract.world.server.runnerAddress;
  const runners = open("agyn.runners.v1.RunnersService", `${host}:${port}`, verified);
  const stream = duplex(runners, "Metrics");
  const seconds = String(Math.floor(Date.now() / 1000));
  stream.write({ samples: [{ time: { seconds, nanos: 0 }, memory_total_bytes: "1024" }] });
  stream.end();
  const answers: Fields[] = [];
  for await (const answer of stream) answers.push(answer as Fields);
  expect(answers[0]).toMatchObject({ interval: { nanos: 200_000_000 } });
});

test("health and reflection answer without credentials, as grpc_health_probe and grpcurl ask", async () => {
  const health = open("grpc.health.v1.Health");
  expect(await unary(health, "Check", { service: "" })).toEqual({ status: "SERVING" });
  const reflection = open("grpc.reflection.v1.ServerReflection");
  const stream = duplex(reflection, "ServerReflectionInfo");
  stream.write({ list_services: "" });
  stream.end();
  const names: unknown[] = [];
  for await (const answer of stream) {
    const { list_services_response: list } = answer as { list_services_response: { service: { name: string }[] } };
    names.push(...list.service.map(({ name }) => name));
  }
  expect(names).toContain("agyn.runners.v1.RunnersService");
});

function open(
  service: string,
  address?: string,
  channel: ChannelCredentials = credentials.createInsecure(),
): PlainClient {
  const found = service.split(".").reduce<unknown>((level, name) => (level as Fields)[name], packages);
  const Client = found as new (
    address: string,
    credentials: ChannelCredentials,
    options: ChannelOptions,
  ) => PlainClient;
  const client = new Client(address ?? new URL(contract.world.server.gateway).host, channel, serverName);
  clients.push(client);
  return client;
}

function authorized(token: string | undefined): Metadata {
  const metadata = new Metadata();
  if (token !== undefined) metadata.set("authorization", `Bearer ${token}`);
  return metadata;
}

function unary(client: PlainClient, method: string, request: Fields, token?: string): Promise<Fields> {
  const { promise, resolve, reject } = Promise.withResolvers<Fields>();
  (client[method] as Unary).call(
    client,
    request,
    authorized(token),
    { deadline: Date.now() + timeout_ms },
    (error, answer) => {
      if (error) reject(error);
      else resolve(answer!);
    },
  );
  return promise;
}

function duplex(client: PlainClient, method: string): ClientDuplexStream<Fields, Fields> {
  return (client[method] as Duplex).call(client, new Metadata(), { deadline: Date.now() + timeout_ms });
}

function serverStream(
  client: PlainClient,
  method: string,
  request: Fields,
  token: string,
): ClientReadableStream<Fields> {
  const call = client[method] as ServerStream;
  return call.call(client, request, authorized(token), { deadline: Date.now() + timeout_ms });
}
