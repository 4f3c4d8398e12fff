import { PassThrough, type Duplex } from "node:stream";
import { createClient } from "@connectrpc/connect";
import { connectNodeAdapter, createGrpcTransport } from "@connectrpc/connect-node";
import { afterEach, expect, test } from "vitest";
import { openClientSession, type ClientSession, type KeepAlive } from "../../overlay/secure-session.ts";
import { EchoService } from "./echo-service.ts";
import { createMemoryOverlay } from "./memory-overlay.ts";
import { hour_ms, openSecureWorld, runnerCredentials, type SecureWorld, type WorldOptions } from "./world.ts";

let world: SecureWorld;
const sessions: ClientSession[] = [];
afterEach(async () => {
  for (const session of sessions.splice(0)) session.close();
  await world.close();
});

async function open(options?: WorldOptions): Promise<void> {
  const handler = connectNodeAdapter({
    routes: (router) =>
      router.service(EchoService, {
        async *echo(messages) {
          for await (const message of messages) yield message;
        },
      }),
  });
  world = await openSecureWorld(createMemoryOverlay(), { onRequest: handler, ...options });
}

interface Connecting {
  readonly dial?: (signal?: AbortSignal) => Promise<Duplex>;
  readonly now?: Date;
  readonly ttl_ms?: number;
  readonly keepAlive?: KeepAlive;
  readonly signal?: AbortSignal;
}

async function connect({
  dial = world.dial,
  signal = AbortSignal.timeout(5000),
  keepAlive,
  ...validity
}: Connecting = {}) {
  const credentials = await runnerCredentials(world.authority, validity);
  const options = { ...credentials, signal, ...(keepAlive === undefined ? {} : { keepAlive }) };
  const session = await openClientSession(dial, options);
  sessions.push(session);
  return session;
}

test("gRPC passes over one session", async () => {
  await open();
  const session = await connect();
  const client = createClient(
    EchoService,
    createGrpcTransport({ baseUrl: session.authority, sessionManager: session }),
  );
  const answers: string[] = [];
  const messages = async function* () {
    yield { value: "one" };
  };
  for await (const { value } of client.echo(messages())) answers.push(value);
  expect(answers).toEqual(["one"]);
});

test("a client that is refused is told why before it has a session", async () => {
  await open({ refuse: () => "the identity was revoked" });
  await expect(connect()).rejects.toMatchObject({ reason: "peer_refused", message: "the identity was revoked" });
});

test("a client whose certificate has expired is told so", async () => {
  await open();
  const attempt = connect({ now: new Date(Date.now() - hour_ms), ttl_ms: 1000 });
  await expect(attempt).rejects.toMatchObject({ message: expect.stringMatching(/CERT_HAS_EXPIRED/) });
});

test("bad-08: a session that the server ends carries its last words, and serves no further call", async () => {
  await open();
  const session = await connect();
  const [held] = world.server.sessions();
  held?.end("the identity was revoked");
  expect(await session.ended).toBe("the identity was revoked");
  await expect(session.request("POST", "/", {}, {})).rejects.toThrow("the identity was revoked");
});

test("bad-15: a link that goes silent is noticed by the unanswered ping", async () => {
  await open();
  let link: Duplex | undefined;
  const dial = async (signal?: AbortSignal) => (link = await world.dial(signal));
  const session = await connect({ dial, keepAlive: { pingInterval_ms: 50, pingTimeout_ms: 200 } });
  // Nothing that arrives is passed on any more, and nothing says so.
  link?.removeAllListeners("data").pipe(new PassThrough());
  expect(await session.ended).toMatch(/did not answer a ping within 200 ms/);
});

test("the server tells a client that answers from one whose link went silent", async () => {
  await open();
  let link: Duplex | undefined;
  await connect({ dial: async (signal?: AbortSignal) => (link = await world.dial(signal)) });
  const [held] = world.server.sessions();
  expect(await held?.answers(5000)).toBe(true);
  link?.removeAllListeners("data").pipe(new PassThrough());
  expect(await held?.answers(100)).toBe(false);
});

test("opening is given up by its signal", async () => {
  await open();
  const giveUp = new AbortController();
  const dial = async (signal?: AbortSignal) => {
    const connection = await world.dial(signal);
    giveUp.abort();
    return connection;
  };
  await expect(connect({ dial, signal: giveUp.signal })).rejects.toMatchObject({ reason: "cancelled" });
});
