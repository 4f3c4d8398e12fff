import { create, fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { createClient, type Client, type Transport } from "@connectrpc/connect";
import { LogsService } from "../../proto/gen/agyn/logs/v1/logs_service_pb.ts";
import { OrchestratorService } from "../../proto/gen/agyn/orchestrator/v1/orchestrator_service_pb.ts";
import {
  HelloSchema,
  MachineSchema,
  PlacementsRequestSchema,
  type Hello,
  type PlacementsRequest,
  type PlacementsResponse,
  type RunnerMessageSchema,
  type Welcome,
} from "../../proto/gen/agyn/orchestrator/v1/placements_pb.ts";
import { EnrollmentOfferSchema, RunnersService } from "../../proto/gen/agyn/runners/v1/runners_service_pb.ts";
import { openConnection } from "../../runner/src/connection.ts";
import { enroll } from "../../runner/src/enroll.ts";
import { createIdentityMemory, type IdentityStore, type StoredIdentity } from "../../runner/src/identity-store.ts";
import { messageOf, refusalOf } from "../../runner/src/refusal.ts";
import { createRunnerOverlay } from "../../runner/src/runner-overlay.ts";
import { createCsr, createIdentityKey } from "../../wire/csr.ts";
import { csrSpkiOf, signEnrollmentStatement } from "../../wire/enrollment-statement.ts";
import { parseServiceToken, type ServiceToken } from "../../wire/service-token.ts";
import { clientsFor, type Clients } from "./world.ts";

/** What a call was refused with: its reason, or the text where there is none. */
export function reasonOf(error: unknown): string {
  return refusalOf(error).reason ?? messageOf(error);
}

/** The reason a promise is rejected with, or "ok". */
export function outcomeOf(call: Promise<unknown>): Promise<string> {
  return call.then(() => "ok", reasonOf);
}

/** How what a runner did ended, by the audit, oldest first. */
export async function outcomesOf(admin: Clients, runnerId: string, action: string): Promise<string[]> {
  const scope = { kind: { case: "organization" as const, value: "default" } };
  const request = { scope, objectId: runnerId, action, pageSize: 200 };
  const { auditEvents } = await admin.audit.listAuditEvents(request);
  return auditEvents.map(({ outcome }) => outcome).toReversed();
}

export function tokenOf(text: string): ServiceToken {
  const token = parseServiceToken(text);
  if ("error" in token) throw new Error(token.error);
  return token;
}

/** Enrolls as a runner does, with a key of its own, kept in memory unless a store is given. */
export function enrollClient(
  gateway: string,
  token: string,
  store: IdentityStore = createIdentityMemory(),
): Promise<StoredIdentity> {
  const runners = clientsFor(gateway, "").runners;
  const signal = new AbortController().signal;
  return enroll({ gateway: runners, store, host: "client", signal }, tokenOf(token));
}

/** An enrollment that is ready to be sent, its nonce got and its statement signed, for a new key. */
export async function prepareEnrollment(gateway: string, token: string) {
  const { runnerId, privateKey } = tokenOf(token);
  const { offer } = await clientsFor(gateway, "").runners.startEnrollment({ runnerId });
  const { trustDomain, nonce } = fromBinary(EnrollmentOfferSchema, offer);
  const key = createIdentityKey();
  const statement = { purpose: "enroll", trustDomain, runnerId, nonce, csrSpki: csrSpkiOf(key) } as const;
  return { runnerId, nonce, csr: createCsr(key), signature: signEnrollmentStatement(statement, privateKey), host: "" };
}

/** What a hello may say otherwise than a plain machine of the tests. */
export type HelloInit = Omit<Partial<Hello>, "$typeName" | "$unknown">;

/** A connection to the runner plane, as whoever holds the identity. */
export interface RunnerClient {
  readonly transport: Transport;
  readonly runners: Client<typeof RunnersService>;
  /** Opens Push; settles with the reason it ended for. */
  push(): Promise<string>;
  /** Opens Metrics; settles with the reason it ended for. */
  metrics(): Promise<string>;
  /** Opens Placements and waits for the welcome; rejects where it is refused. */
  placements(hello?: HelloInit): Promise<PlacementsClient>;
  close(): void;
}

export interface PlacementsClient {
  readonly welcome: Welcome;
  /** Settles with the reason that the control plane gave, or what broke. */
  readonly ended: Promise<string>;
  say(kind: NonNullable<MessageInitShape<typeof RunnerMessageSchema>["kind"]>): void;
  confirm(): void;
  /** Ends the stream without a goodbye. */
  leave(): void;
}

/** Dials the runner plane with an identity; `endpoint` where it is not the one that enrollment named. */
export async function dialRunnerPlane(identity: StoredIdentity, endpoint?: string): Promise<RunnerClient> {
  const overlay = createRunnerOverlay({ identity: () => identity, version: "test" });
  const connection = await openConnection({
    overlay,
    identity: endpoint === undefined ? identity : { ...identity, endpoints: [{ kind: "mtls", address: endpoint }] },
    signal: new AbortController().signal,
  });
  const { transport } = connection;
  const orchestrator = createClient(OrchestratorService, transport);
  const runners = createClient(RunnersService, transport);
  const logs = createClient(LogsService, transport);
  const silence = new AbortController();
  return {
    transport,
    runners,
    push: () => untilOver(logs.push(nothing(silence.signal))),
    metrics: () => untilOver(runners.metrics(nothing(silence.signal))),
    placements: (hello = {}) => openPlacements(orchestrator, hello),
    close() {
      silence.abort();
      connection.close();
      void overlay.close();
    },
  };
}

/** The sending half of a stream on which nothing is said. */
async function* nothing(signal: AbortSignal): AsyncGenerator<never> {
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
  yield* [];
}

async function untilOver(answers: AsyncIterable<unknown>): Promise<string> {
  try {
    for await (const _ of answers);
    return "ended";
  } catch (error) {
    return reasonOf(error);
  }
}

async function openPlacements(client: Client<typeof OrchestratorService>, hello: HelloInit): Promise<PlacementsClient> {
  const abort = new AbortController();
  const queue = createQueue();
  queue.say({ case: "hello", value: create(HelloSchema, { ...plainHello, ...hello }) });
  const answers = client.placements(queue.requests(), { signal: abort.signal })[Symbol.asyncIterator]();
  const first = await answers.next();
  const kind = first.done ? undefined : first.value.messages[0]?.kind;
  if (kind?.case !== "welcome") throw new Error("the first answer is no welcome");
  const welcome = kind.value;
  return {
    welcome,
    ended: untilEnd(answers).finally(() => queue.end()),
    say: queue.say,
    confirm: () => queue.say({ case: "sessionConfirmed", value: { sessionNumber: welcome.sessionNumber } }),
    leave() {
      queue.end();
      abort.abort();
    },
  };
}

/** What a machine of the tests says of itself. */
const plainHello: HelloInit = {
  instanceId: "client",
  protocolVersion: 1,
  version: "0.0.0",
  lastSessionNumber: 0n,
  machine: create(MachineSchema, { os: "linux", architecture: "x64", host: "client", bootId: "boot", cpus: 1 }),
  capacity: { slots: 1 },
  executors: ["simulated"],
  isolation: "uid",
};

async function untilEnd(answers: AsyncIterator<PlacementsResponse>): Promise<string> {
  try {
    for (;;) {
      const next = await answers.next();
      if (next.done) return "ended";
      const goodbye = next.value.messages.map(({ kind }) => kind).find(({ case: name }) => name === "disconnect");
      if (goodbye?.case === "disconnect") return goodbye.value.reason;
    }
  } catch (error) {
    return reasonOf(error);
  }
}

function createQueue() {
  const waiting: PlacementsRequest[] = [];
  let over = false;
  let wake = () => {};
  return {
    say(kind: NonNullable<MessageInitShape<typeof RunnerMessageSchema>["kind"]>) {
      waiting.push(create(PlacementsRequestSchema, { messages: [{ kind }] }));
      wake();
    },
    end() {
      over = true;
      wake();
    },
    async *requests(): AsyncGenerator<PlacementsRequest> {
      for (;;) {
        for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) yield next;
        if (over) return;
        await new Promise<void>((resolve) => (wake = resolve));
      }
    },
  };
}
