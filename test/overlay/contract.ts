import type { Duplex } from "node:stream";
import { afterEach, describe, expect, test } from "vitest";
import type { Overlay } from "../../overlay/overlay.ts";
import { secureClientSocket } from "../../overlay/secure-client.ts";
import { lastWords, roundTrip, textOf, until } from "./http2-client.ts";
import {
  hour_ms,
  newAuthority,
  openSecureWorld,
  runnerCredentials,
  type SecureWorld,
  type WorldOptions,
} from "./world.ts";
import { controlPlaneCredentials } from "./world.ts";

/** What each overlay must do, bare and with the secure layer above it. `create` knows a service named `control-plane`. */
export function overlayContract<E>(name: string, create: () => Overlay<E>): void {
  describe(`${name}: bytes`, () => bytes(create));
  describe(`${name}: secured`, () => secured(create));
}

function bytes<E>(create: () => Overlay<E>): void {
  const closers: (() => Promise<void>)[] = [];
  afterEach(async () => {
    for (const close of closers.splice(0).reverse()) await close();
  });

  async function connect(): Promise<[near: Duplex, far: Duplex]> {
    const overlay = create();
    const accepted = Promise.withResolvers<Duplex>();
    const listener = await overlay.listen("control-plane", accepted.resolve);
    closers.push(() => overlay.close());
    const near = await overlay.dial(listener.address);
    const far = await accepted.promise;
    for (const end of [near, far]) closers.push(async () => void end.destroy());
    near.on("error", () => {});
    return [near, far];
  }

  test("an end that has said all still hears the other", async () => {
    const [near, far] = await connect();
    near.end("question");
    expect(await textOf(far)).toBe("question");
    far.end("answer");
    expect(await textOf(near)).toBe("answer");
  });

  test("an end that is destroyed leaves the other nothing to read", async () => {
    const [near, far] = await connect();
    far.resume();
    near.destroy();
    await until(() => far.readableEnded || far.destroyed, "the other end has noticed");
  });

  test("a reader that takes nothing holds the writer back", async () => {
    const [near, far] = await connect();
    let written = 0;
    while (far.write(Buffer.alloc(65_536)) && written < 1e9) written += 65_536;
    expect(far.writableNeedDrain).toBe(true);
    expect(far.writableLength).toBeLessThan(4 * 65_536);
    near.destroy();
  });

  test("after the listener has closed nobody answers", async () => {
    const overlay = create();
    const listener = await overlay.listen("control-plane", (connection) => connection.destroy());
    await listener.close();
    await expect(overlay.dial(listener.address)).rejects.toMatchObject({ reason: "unreachable" });
    await overlay.close();
  });
}

function secured<E>(create: () => Overlay<E>): void {
  let world: SecureWorld;
  afterEach(() => world.close());
  const open = async (options?: WorldOptions) => (world = await openSecureWorld(create(), options));

  test("requests and answers pass", async () => {
    await open();
    expect((await roundTrip(await world.connect(), "hello")).toString()).toBe("hello");
  });

  test("64 MB pass unchanged", async () => {
    await open();
    const body = Buffer.alloc(64 * 1024 * 1024, "0123456789abcdef-");
    expect((await roundTrip(await world.connect(), body)).equals(body)).toBe(true);
  }, 20_000);

  test("200 connections live side by side and all are gone in the end", async () => {
    await open();
    const credentials = await runnerCredentials(world.authority);
    const sessions = await Promise.all(Array.from({ length: 200 }, () => world.connect(credentials)));
    const answers = await Promise.all(sessions.map((session, index) => roundTrip(session, `${index}`)));
    expect(answers.map(String)).toEqual(sessions.map((_, index) => `${index}`));
    expect([...world.server.sessions()]).toHaveLength(200);

    for (const session of sessions) session.close();
    await until(() => [...world.server.sessions()].length === 0, "all connections are gone");
  }, 20_000);

  test("a caller that has said all still gets the answer", async () => {
    await open({
      onRequest: (request, response) => void request.resume().once("end", () => response.end("after your end")),
    });
    expect((await roundTrip(await world.connect(), "all I say")).toString()).toBe("after your end");
  });

  test("a connection that breaks off leaves nothing behind on the server", async () => {
    await open();
    const connection = await world.dial();
    const socket = secureClientSocket(connection, await runnerCredentials(world.authority));
    socket.on("error", () => {});
    await until(() => [...world.server.sessions()].length === 1, "the connection is there");

    connection.destroy();
    await until(() => [...world.server.sessions()].length === 0, "the connection is gone");
    socket.destroy();
  });

  test("a reader that takes nothing leaves the server with bounded memory", async () => {
    let buffered = 0;
    let held = false;
    await open({
      onRequest: (_request, response) => {
        while (!held && buffered < 1e9) {
          held = !response.write(Buffer.alloc(65_536));
          buffered = response.writableLength;
        }
      },
    });
    const session = await world.connect();
    const stream = session.request({ ":path": "/" }).pause();
    stream.on("error", () => {});
    await until(() => held, "the writer is held back");
    expect(buffered).toBeLessThan(1024 * 1024);
  });

  test("the server sees the certificate that the client showed", async () => {
    await open();
    const credentials = await runnerCredentials(world.authority);
    await roundTrip(await world.connect(credentials), "hello");
    const [session] = world.server.sessions();
    expect(credentials.chainPem).toContain(session?.peer.toString().trim());
  });

  test("a client refuses a server under another root", async () => {
    await open();
    const { trustBundle } = await newAuthority(world.authority.trustDomain);
    const credentials = { ...(await runnerCredentials(world.authority)), rootPem: trustBundle };
    await expect(world.connect(credentials)).rejects.toMatchObject({ reason: "peer_untrusted" });
  });

  test("a client refuses a control plane of another trust domain", async () => {
    await open();
    const credentials = { ...(await runnerCredentials(world.authority)), trustDomain: "agyn-other" };
    await expect(world.connect(credentials)).rejects.toMatchObject({ reason: "peer_refused" });
  });

  test("a client refuses a runner that poses as the control plane", async () => {
    const authority = await newAuthority();
    const posing = await runnerCredentials(authority);
    await open({ keyPem: posing.keyPem, chainPem: posing.chainPem, rootPem: authority.trustBundle });
    await expect(world.connect(await runnerCredentials(authority))).rejects.toMatchObject({ reason: "peer_untrusted" });
  });

  const refusals: readonly [
    string,
    (world: SecureWorld) => Promise<Partial<Awaited<ReturnType<typeof runnerCredentials>>>>,
  ][] = [
    ["under another root", async ({ authority }) => runnerCredentials(await newAuthority(authority.trustDomain))],
    ["of another trust domain", async () => runnerCredentials(await newAuthority())],
    [
      "that has expired",
      ({ authority }) => runnerCredentials(authority, { now: new Date(Date.now() - hour_ms / 2), ttl_ms: 1000 }),
    ],
    ["that is not valid yet", ({ authority }) => runnerCredentials(authority, { now: new Date(Date.now() + hour_ms) })],
    ["of the control plane", ({ authority }) => controlPlaneCredentials(authority)],
  ];
  test.each(refusals)("a server refuses a client certificate %s", async (_, make) => {
    await open();
    const { keyPem, chainPem } = { ...(await runnerCredentials(world.authority)), ...(await make(world)) };
    const { rootPem, trustDomain } = await runnerCredentials(world.authority);
    const attempt = world
      .connect({ keyPem, chainPem, rootPem, trustDomain })
      .then((session) => roundTrip(session, "in?"));
    await expect(attempt).rejects.toThrow();
    await until(() => world.refused.length > 0, "the refusal is reported");
    expect(world.refused.map(({ reason }) => reason)).toEqual(["peer_untrusted"]);
  });

  test("bad-08: a certificate revoked meanwhile is refused at the next connection, and told why", async () => {
    let revoked = false;
    await open({ refuse: () => (revoked ? "the identity was revoked" : undefined) });
    const credentials = await runnerCredentials(world.authority);
    await roundTrip(await world.connect(credentials), "hello");

    revoked = true;
    expect(await lastWords(await world.connect(credentials))).toBe("the identity was revoked");
  });

  test("bad-08: a session that is ended takes its open streams with it within a second", async () => {
    await open({ onRequest: () => {} });
    const client = await world.connect();
    const stream = client.request({ ":method": "POST", ":path": "/" });
    stream.on("error", () => {});
    await until(() => [...world.server.sessions()].length === 1, "the connection is there");

    const [session] = world.server.sessions();
    const words = lastWords(client);
    session?.end("the identity was revoked");
    expect(await words).toBe("the identity was revoked");
    await until(() => stream.closed, "the stream is closed", 1000);
  });
}
