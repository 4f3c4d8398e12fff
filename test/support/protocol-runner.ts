import { X509Certificate } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import http2 from "node:http2";
import { create, fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { ConnectError, createClient, type Client, type Transport } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { openSecureSocket } from "../../overlay/secure-client.ts";
import { ArtifactsService } from "../../proto/gen/agyn/artifacts/v1/artifacts_service_pb.ts";
import { LogsService, type LogPosition, type PushRequestSchema } from "../../proto/gen/agyn/logs/v1/logs_service_pb.ts";
import { OrchestratorService } from "../../proto/gen/agyn/orchestrator/v1/orchestrator_service_pb.ts";
import {
  HelloSchema,
  PlacementsRequestSchema,
  type ControlMessage,
  type RunnerMessageSchema,
} from "../../proto/gen/agyn/orchestrator/v1/placements_pb.ts";
import { WorkloadPhase } from "../../proto/gen/agyn/orchestrator/v1/workload_pb.ts";
import { EnrollmentOfferSchema } from "../../proto/gen/agyn/runners/v1/runners_service_pb.ts";
import { readEndpoints } from "../../runner/src/endpoints.ts";
import type { RunnerEndpoint } from "../../runner/src/identity-store.ts";
import { createRunnerOverlay } from "../../runner/src/runner-overlay.ts";
import { verifyControlPlaneStatement } from "../../wire/control-plane-statement.ts";
import { createCsr, createIdentityKey } from "../../wire/csr.ts";
import { csrSpkiOf, signEnrollmentStatement } from "../../wire/enrollment-statement.ts";
import { encodeChunk } from "../../wire/log-records.ts";
import { parseServiceToken } from "../../wire/service-token.ts";
import type { RegisteredRunner, World } from "./world.ts";

type Said = NonNullable<MessageInitShape<typeof RunnerMessageSchema>["kind"]>;
type Heard = Exclude<ControlMessage["kind"], { case: undefined }>;
type HeardCase = Heard["case"];
type HeardValue<C extends HeardCase> = Extract<Heard, { case: C }>["value"];

/** A runner written by hand: it says what a test wants it to say, over the real secure layer. */
export interface ProtocolRunner extends AsyncDisposable {
  readonly id: string;
  /** Dials and says hello; answers once it is welcome, unless `welcomed` is false. */
  connect(options?: ConnectOptions): Promise<ProtocolSession>;
}

export type ConnectOptions = {
  hello?: Omit<MessageInitShape<typeof HelloSchema>, "$typeName">;
  heartbeats?: boolean;
};

/** One Placements stream. */
export interface ProtocolSession {
  readonly heard: readonly Heard[];
  /** What ended the stream; an empty text for a clean end. */
  readonly ended: Promise<string>;
  say(...messages: Said[]): void;
  /** The next message of a kind that was not asked for before. */
  next<C extends HeardCase>(kind: C, timeout_ms?: number): Promise<HeardValue<C>>;
  /** Pushes log chunks and ends over a stream of its own; answers the positions that came until it was closed. */
  push(request: MessageInitShape<typeof PushRequestSchema>): Promise<LogPosition[]>;
  /** Calls about artifacts, over the same connection. */
  readonly artifacts: Client<typeof ArtifactsService>;
  /** Stops reading what the server says. */
  close(): void;
}

/** Enrolls a registered runner by its token, as any third party's runner would. */
export async function createProtocolRunner(world: World, registered: RegisteredRunner): Promise<ProtocolRunner> {
  const identity = await enroll(world, registered);
  const overlay = createRunnerOverlay({ identity: () => identity, version: "0.0.0" });
  const closing = new AbortController();
  let sessionNumber = 0n;
  return {
    id: registered.id,
    async connect({ hello = {}, heartbeats = true } = {}) {
      const plane = world.runnerPlaneOf(registered);
      const endpoint = plane === undefined ? identity.endpoint : { kind: "mtls" as const, address: plane };
      const dial = (signal: AbortSignal) => overlay.dial(endpoint, { signal });
      const socket = await openSecureSocket(dial, { ...identity, signal: closing.signal });
      const connection = http2.connect("https://control-plane", { createConnection: () => socket });
      connection.on("error", () => undefined);
      closing.signal.addEventListener("abort", () => connection.destroy(), { once: true });
      const session = openSession(transportOver(connection), connection);
      const said = create(HelloSchema, { ...usualHello, lastSessionNumber: sessionNumber, ...hello });
      session.say({ case: "hello", value: said });
      const welcome = await session.next("welcome");
      sessionNumber = welcome.sessionNumber;
      session.say({ case: "sessionConfirmed", value: { sessionNumber } });
      if (heartbeats) session.beat(Number(welcome.heartbeatInterval!.nanos) / 1e6 || 1000);
      return session;
    },
    async [Symbol.asyncDispose]() {
      closing.abort();
      await overlay.close();
    },
  };
}

const usualHello = {
  instanceId: "by-hand",
  protocolVersion: 1,
  version: "0.0.0",
  machine: { os: "linux", architecture: "x64", host: "by-hand", cpus: 1 },
  capacity: { slots: 4 },
  executors: ["process", "simulated"],
  isolation: "uid",
};

type Identity = { keyPem: string; chainPem: string; rootPem: string; trustDomain: string; endpoint: RunnerEndpoint };

async function enroll(world: World, { id: runnerId, token: text }: RegisteredRunner): Promise<Identity> {
  const token = parseServiceToken(text);
  if ("error" in token) throw new Error(token.error);
  const { runners } = world.clientsOf("");
  const { offer: payload, signature, chainPem } = await runners.startEnrollment({ runnerId });
  const verified = verifyControlPlaneStatement({
    payload,
    signature,
    chainPem,
    rootPin: token.rootPin,
    now: new Date(),
  });
  if ("error" in verified) throw new Error(verified.error);
  const { nonce, trustDomain, endpoints } = fromBinary(EnrollmentOfferSchema, payload);
  const key = createIdentityKey();
  const statement = { purpose: "enroll", trustDomain, runnerId, nonce, csrSpki: csrSpkiOf(key) } as const;
  const answer = await runners.enroll({
    runnerId,
    nonce,
    csr: createCsr(key),
    signature: signEnrollmentStatement(statement, token.privateKey),
    host: "by-hand",
  });
  const issued = answer.identity!;
  const [endpoint] = readEndpoints(endpoints);
  if (endpoint === undefined) throw new Error("the control plane named no endpoint");
  if (!new X509Certificate(issued.chainPem).checkPrivateKey(key)) throw new Error("the certificate is for another key");
  return {
    keyPem: key.export({ format: "pem", type: "pkcs8" }).toString(),
    chainPem: issued.chainPem,
    rootPem: verified.rootPem,
    trustDomain,
    endpoint,
  };
}

function transportOver(connection: http2.ClientHttp2Session): Transport {
  const authority = "https://control-plane";
  return createGrpcTransport({
    baseUrl: authority,
    sessionManager: {
      authority,
      request: (method, path, headers, options) =>
        Promise.resolve(connection.request({ ...headers, ":method": method, ":path": path }, options)),
      notifyResponseByteRead: () => undefined,
    },
  });
}

function openSession(transport: Transport, connection: http2.ClientHttp2Session) {
  const waiting: Said[] = [];
  const heard: Heard[] = [];
  const taken = new Set<Heard>();
  const closing = new AbortController();
  let wake: () => void = () => undefined;
  let beating: NodeJS.Timeout | undefined;
  async function* said() {
    while (!closing.signal.aborted) {
      if (waiting.length === 0) await new Promise<void>((resolve) => (wake = resolve));
      const messages = waiting.splice(0, 1000).map((kind) => ({ kind }));
      if (messages.length > 0) yield create(PlacementsRequestSchema, { messages });
    }
  }
  const ended = (async () => {
    try {
      const answers = createClient(OrchestratorService, transport).placements(said(), { signal: closing.signal });
      for await (const { messages } of answers)
        heard.push(...messages.flatMap(({ kind }) => (kind.case === undefined ? [] : [kind])));
      return "";
    } catch (error) {
      return ConnectError.from(error).rawMessage;
    } finally {
      clearInterval(beating);
    }
  })();
  let sequence = 0n;
  const say = (...messages: Said[]) => {
    waiting.push(...messages);
    wake();
  };
  return {
    heard,
    ended,
    say,
    artifacts: createClient(ArtifactsService, transport),
    beat(period_ms: number) {
      beating = setInterval(() => say({ case: "heartbeat", value: { sequence: ++sequence } }), period_ms);
    },
    async next<C extends HeardCase>(wanted: C, timeout_ms = 60_000): Promise<HeardValue<C>> {
      const deadline = Date.now() + timeout_ms;
      for (;;) {
        const found = heard.find((one) => one.case === wanted && !taken.has(one));
        if (found) {
          taken.add(found);
          return found.value as HeardValue<C>;
        }
        if (Date.now() > deadline) {
          const end = await Promise.race([ended, Promise.resolve("it is open")]);
          throw new Error(`the server did not say ${wanted} within ${timeout_ms} ms: ${end}`);
        }
        await delay(10);
      }
    },
    async push(request: MessageInitShape<typeof PushRequestSchema>) {
      const positions: LogPosition[] = [];
      async function* requests() {
        yield request;
      }
      for await (const answer of createClient(LogsService, transport).push(requests()))
        positions.push(...answer.positions);
      return positions;
    },
    close() {
      clearInterval(beating);
      closing.abort();
      wake();
      connection.destroy();
    },
  };
}

/** How a workload that exited is reported. */
export function exited(of: { workloadId: string; fence: bigint }, exitCode = 0): Said {
  return { case: "completed", value: { ...of, result: { outcome: 1, exitCode } } };
}

/** Progress to `running`. */
export function running(of: { workloadId: string; fence: bigint }): Said {
  return { case: "progress", value: { ...of, phase: WorkloadPhase.RUNNING } };
}

/** Lines of standard output, as a chunk of a workload's log. */
export function chunkOf(
  { workloadId, fence }: { workloadId: string; fence: bigint },
  firstLine: number,
  ...lines: string[]
) {
  const records = lines.map((text) => ({
    kind: "line" as const,
    time: Date.now(),
    stream: "stdout" as const,
    continued: false,
    bytes: Buffer.from(text),
  }));
  const { count, size, data } = encodeChunk(firstLine, records);
  return { workloadId, fence, firstLine: BigInt(firstLine), count: BigInt(count), size, data };
}
