import { create } from "@bufbuild/protobuf";
import { StringValueSchema } from "@bufbuild/protobuf/wkt";
import { createClient, createContextKey, createContextValues } from "@connectrpc/connect";
import { connectNodeAdapter, createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { afterEach, describe, expect, test } from "vitest";
import { createMtlsOverlay } from "../../overlay/mtls.ts";
import type { Overlay } from "../../overlay/overlay.ts";
import { secureConnector, type SecureClientOptions } from "../../overlay/secure-client.ts";
import { http2Options } from "../../overlay/secure-limits.ts";
import type { SecureSession } from "../../overlay/secure-sessions.ts";
import { EchoService } from "./echo-service.ts";
import { createMemoryOverlay } from "./memory-overlay.ts";
import { newAuthority, openSecureWorld, runnerCredentials, type SecureWorld } from "./world.ts";

describe("mtls: gRPC", () =>
  grpc(() => createMtlsOverlay({ services: { "control-plane": { host: "127.0.0.1", port: 0 } } })));
describe("memory: gRPC", () => grpc(createMemoryOverlay));

function grpc<E>(createOverlay: () => Overlay<E>): void {
  let world: SecureWorld;
  const managers: Http2SessionManager[] = [];
  afterEach(async () => {
    for (const manager of managers.splice(0)) manager.abort();
    await world.close();
  });

  /** A server that answers each message with it and the serial of the certificate that the caller showed. */
  async function open(): Promise<void> {
    const sessionKey = createContextKey<SecureSession | undefined>(undefined);
    const handler = connectNodeAdapter({
      contextValues: (request) =>
        createContextValues().set(sessionKey, "stream" in request ? world.server.sessionOf(request) : undefined),
      routes: (router) =>
        router.service(EchoService, {
          async *echo(incoming, context) {
            const serial = context.values.get(sessionKey)?.peer.serialNumber;
            for await (const { value } of incoming) yield { value: `${value} from ${serial}` };
          },
        }),
    });
    world = await openSecureWorld(createOverlay(), { onRequest: handler });
  }

  function clientOf(credentials: SecureClientOptions, dial = world.dial) {
    const createConnection = secureConnector(dial, credentials);
    const baseUrl = "https://control-plane";
    const manager = new Http2SessionManager(baseUrl, {}, { ...http2Options, createConnection });
    managers.push(manager);
    return createClient(EchoService, createGrpcTransport({ baseUrl, sessionManager: manager }));
  }

  async function* messages(...values: string[]) {
    for (const value of values) yield create(StringValueSchema, { value });
  }

  async function say(client: ReturnType<typeof clientOf>, ...values: string[]): Promise<string[]> {
    const answers: string[] = [];
    for await (const { value } of client.echo(messages(...values), { timeoutMs: 5000 })) answers.push(value);
    return answers;
  }

  test("a bidirectional stream passes, and the handler knows the caller's certificate", async () => {
    await open();
    const answers = await say(clientOf(await runnerCredentials(world.authority)), "one", "two");
    const [session] = world.server.sessions();
    const serial = session?.peer.serialNumber;
    expect(answers).toEqual([`one from ${serial}`, `two from ${serial}`]);
  });

  test("after its connection was ended a client dials anew by itself", async () => {
    await open();
    const client = clientOf(await runnerCredentials(world.authority));
    await say(client, "one");
    const [session] = world.server.sessions();
    session?.end("come back");
    await session?.closed;
    await expect
      .poll(() =>
        say(client, "two").then(
          ({ length }) => length,
          () => 0,
        ),
      )
      .toBe(1);
  });

  test("a dial that fails is unavailable, with its reason", async () => {
    await open();
    const client = clientOf(await runnerCredentials(world.authority), () => Promise.reject(new Error("no road there")));
    await expect(say(client, "one")).rejects.toMatchObject({ message: expect.stringContaining("no road there") });
  });

  test("a control plane under another root is not spoken to", async () => {
    await open();
    const { trustBundle } = await newAuthority(world.authority.trustDomain);
    const client = clientOf({ ...(await runnerCredentials(world.authority)), rootPem: trustBundle });
    await expect(say(client, "one")).rejects.toThrow(/self.signed|unable to/);
  });

  test("a dial that never ends is given up at the handshake deadline", async () => {
    await open();
    let given: AbortSignal | undefined;
    const dial = (signal?: AbortSignal) => ((given = signal), new Promise<never>(() => {}));
    const client = clientOf({ ...(await runnerCredentials(world.authority)), handshakeTimeout_ms: 100 }, dial);
    await expect(say(client, "one")).rejects.toThrow(/took longer than 100 ms/);
    expect(given?.aborted).toBe(true);
  });
}
