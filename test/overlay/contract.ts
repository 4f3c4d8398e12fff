import { createHash, randomBytes, type Hash } from "node:crypto";
import { once } from "node:events";
import { Readable, type Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";
import { afterEach, describe, expect, onTestFinished, test } from "vitest";
import { OverlayError } from "../../overlay/errors.ts";
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

/** What is sent through each overlay in one go: `AGYN_TEST_OVERLAY_BYTES=1000000000` sends a whole gigabyte. */
const bulkAsked_bytes = process.env["AGYN_TEST_OVERLAY_BYTES"];
const usualBulk_bytes = 16_000_000;

/** What stands between the two ends of an overlay, where a test can take it away. */
export interface Carried<E> {
  readonly overlay: Overlay<E>;
  cut(): Promise<void>;
  restore(): Promise<void>;
}

/** What the contract is to know of an overlay. `create` knows a service named `control-plane`. */
export interface Subject<E> {
  readonly create: () => Overlay<E>;
  /** Where nobody listens. */
  readonly nowhere: E;
  /** An overlay over something that can be taken away. */
  readonly carried?: (() => Promise<Carried<E>>) | undefined;
}

/** What each overlay must do, bare and with the secure layer above it. */
export function overlayContract<E>(name: string, subject: Subject<E>): void {
  describe(`${name}: bytes`, () => bytes(subject.create));
  describe(`${name}: dialing`, () => dialing(subject));
  describe(`${name}: secured`, () => secured(subject));
}

type Pair = readonly [near: Duplex, far: Duplex];

/** An overlay with a listener, and dials of it whose both ends are known. Everything is closed after the test. */
async function openLine<E>(overlay: Overlay<E>) {
  const waiting: ((far: Duplex) => void)[] = [];
  const accepted: Duplex[] = [];
  const listener = await overlay.listen("control-plane", (far) => {
    far.on("error", () => {});
    accepted.push(far);
    waiting.shift()?.(far);
  });
  const ends = new Set<Duplex>();
  onTestFinished(async () => {
    for (const end of [...ends, ...accepted]) end.destroy();
    await overlay.close();
  });
  return {
    listener,
    accepted,
    /** One at a time, so that each end finds its other. */
    async connect(): Promise<Pair> {
      const { promise, resolve } = Promise.withResolvers<Duplex>();
      waiting.push(resolve);
      const near = await overlay.dial(listener.address);
      near.on("error", () => {});
      ends.add(near);
      return [near, await promise];
    },
  };
}

const hasEnded = (end: Duplex) => end.readableEnded || end.destroyed;

function bytes<E>(create: () => Overlay<E>): void {
  test.each([
    ["dialed", 0],
    ["accepted", 1],
  ])("an end that %s and has said all still hears the other", async (_, first) => {
    const pair = await (await openLine(create())).connect();
    const [one, other] = first === 0 ? pair : [pair[1], pair[0]];
    one.end("question");
    expect(await textOf(other)).toBe("question");
    other.end("answer");
    expect(await textOf(one)).toBe("answer");
  });

  const moments: readonly [string, (pair: Pair) => unknown][] = [
    ["before anything is said", () => undefined],
    ["while it speaks", ([dying]) => dying.write(Buffer.alloc(300_000))],
    [
      "while it hears",
      async ([dying, other]) => {
        other.write(Buffer.alloc(300_000));
        await once(dying, "readable");
      },
    ],
    ["when it has said all", ([dying, other]) => (other.resume(), once(dying.end("all"), "finish"))],
    ["when it has heard all", ([dying, other]) => (other.end("all"), textOf(dying))],
  ];
  const deaths = moments.flatMap(([moment, bring]) => [
    { moment, who: "dialed", bring },
    { moment, who: "accepted", bring },
  ]);
  test.each(deaths)("an end that $who and dies $moment is noticed, and its neighbours are not", async (death) => {
    const line = await openLine(create());
    const [pair, neighbours] = [await line.connect(), await line.connect()];
    const [dying, other] = death.who === "dialed" ? pair : [pair[1], pair[0]];
    await death.bring([dying, other]);
    dying.destroy();
    other.resume();
    await until(() => hasEnded(other), "the other end has noticed");

    neighbours[0].end("still here");
    expect(await textOf(neighbours[1])).toBe("still here");
    expect(hasEnded((await line.connect())[0])).toBe(false);
  });

  test("a reader that takes nothing holds its writer back, and no neighbour", async () => {
    const line = await openLine(create());
    const [[near, far], neighbours] = [await line.connect(), await line.connect()];
    let written = 0;
    while (far.write(Buffer.alloc(65_536)) && written < 1e9) written += 65_536;
    expect(far.writableNeedDrain).toBe(true);
    expect(far.writableLength).toBeLessThan(4 * 65_536);

    neighbours[1].end("quick");
    expect(await textOf(neighbours[0])).toBe("quick");
    near.destroy();
  });

  test("2000 connections live side by side, each with bytes of its own", async () => {
    const overlay = create();
    const listener = await overlay.listen("control-plane", (far) => void far.on("error", () => {}).pipe(far));
    onTestFinished(() => overlay.close());
    const ends: Duplex[] = [];
    // So many at once as a busy gateway has; all stay open.
    for (let group = 0; group < 20; group++)
      ends.push(...(await Promise.all(Array.from({ length: 100 }, () => overlay.dial(listener.address)))));
    const texts = await Promise.all(ends.map((end, index) => textOf(end.on("error", () => {}).end(`${index}`))));
    expect(texts).toEqual(ends.map((_, index) => `${index}`));
    for (const end of ends) end.destroy();
  });
}

function dialing<E>({ create, nowhere, carried }: Subject<E>): void {
  test("where nobody listens nobody answers", async () => {
    const overlay = create();
    await expect(overlay.dial(nowhere)).rejects.toMatchObject({ reason: "unreachable" });
    await overlay.close();
  });

  test("after the listener has closed nobody answers, and when another has opened it does", async () => {
    const overlay = create();
    onTestFinished(() => overlay.close());
    const listener = await overlay.listen("control-plane", (connection) => connection.destroy());
    await listener.close();
    await expect(overlay.dial(listener.address)).rejects.toMatchObject({ reason: "unreachable" });

    const again = await overlay.listen("control-plane", (connection) => void connection.end("again"));
    const connection = await overlay.dial(again.address);
    expect(await textOf(connection)).toBe("again");
    connection.destroy();
  });

  test("a dial that is given up is cancelled, or leaves nothing behind where it was quicker", async () => {
    const overlay = create();
    const { listener, accepted } = await openLine(overlay);
    const gaveUp = expect(overlay.dial(listener.address, { signal: AbortSignal.abort() })).rejects;
    await gaveUp.toMatchObject({ reason: "cancelled" });
    for (const turns of [0, 1, 2, 4, 8, 16, 64]) {
      const giveUp = new AbortController();
      const dialed = overlay.dial(listener.address, { signal: giveUp.signal }).catch((error: OverlayError) => error);
      for (let turn = 0; turn < turns; turn++) await nextTurn();
      giveUp.abort();
      const outcome = await dialed;
      if (outcome instanceof OverlayError) expect(outcome.reason).toBe("cancelled");
      else outcome.destroy();
    }
    for (const far of accepted) far.resume();
    await until(() => accepted.every(hasEnded), "nothing is left behind");
  });

  if (carried === undefined) return;
  test("what carries it may go: all breaks, and dialing works again after", async () => {
    const { overlay, cut, restore } = await carried();
    const { listener, accepted, connect } = await openLine(overlay);
    const [near, far] = await connect();
    for (const end of [near, far]) end.resume();
    await cut();
    await until(() => [near, far].every(hasEnded), "what was open has broken");
    const attempt = overlay.dial(listener.address).then(async (connection) => {
      connection.on("error", () => {});
      await until(() => hasEnded(connection.resume()), "nothing gets through");
    });
    await attempt.catch((error: OverlayError) => expect(error.reason).toMatch(/unreachable|broken|timeout/));

    await restore();
    const before = accepted.length;
    const again = await redial(overlay, listener.address);
    await until(() => accepted.length > before, "the listener is dialed again");
    accepted.at(-1)?.end("again");
    expect(await textOf(again)).toBe("again");
    again.destroy();
  });
}

/** Dials as whoever lost a connection does: again and again. */
async function redial<E>(overlay: Overlay<E>, address: E): Promise<Duplex> {
  let connection: Duplex | undefined;
  const deadline = AbortSignal.timeout(40_000);
  while (connection === undefined) {
    deadline.throwIfAborted();
    connection = await overlay.dial(address).catch(nextTurn);
  }
  return connection.on("error", () => {});
}

const nextTurn = () => new Promise<undefined>((resolve) => setImmediate(() => resolve(undefined)));

function secured<E>({ create }: Subject<E>): void {
  const bulk_bytes = Number(bulkAsked_bytes ?? usualBulk_bytes);
  let world: SecureWorld;
  afterEach(() => world.close());
  const open = async (options?: WorldOptions) => (world = await openSecureWorld(create(), options));

  test("requests and answers pass", async () => {
    await open();
    expect((await roundTrip(await world.connect(), "hello")).toString()).toBe("hello");
  });

  test(
    `${bulk_bytes / 1e6} MB pass unchanged, each way`,
    async () => {
      await open();
      const session = await world.connect();
      const stream = session.request({ ":method": "POST", ":path": "/" });
      const [sent, received] = [createHash("sha256"), createHash("sha256")];
      const speaking = pipeline(Readable.from(blocks(bulk_bytes, sent)), stream, { end: true });
      let length = 0;
      stream.on("data", (piece: Buffer) => {
        length += piece.length;
        received.update(piece);
      });
      await Promise.all([speaking, once(stream, "end")]);
      expect(length).toBe(bulk_bytes);
      expect(received.digest("hex")).toBe(sent.digest("hex"));
    },
    120_000 + bulk_bytes / 2000,
  );

  test("200 connections live side by side and all are gone in the end", async () => {
    await open();
    const credentials = await runnerCredentials(world.authority);
    const sessions = await Promise.all(Array.from({ length: 200 }, () => world.connect(credentials)));
    const answers = await Promise.all(sessions.map((session, index) => roundTrip(session, `${index}`)));
    expect(answers.map(String)).toEqual(sessions.map((_, index) => `${index}`));
    expect([...world.server.sessions()]).toHaveLength(200);

    for (const session of sessions) session.close();
    await until(() => [...world.server.sessions()].length === 0, "all connections are gone");
  });

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

/** So many bytes, no two blocks alike; `hash` sees them all. */
function* blocks(length: number, hash: Hash): Generator<Buffer> {
  const noise = randomBytes(65_536);
  for (let start = 0; start < length; start += noise.length) {
    const block = Buffer.from(noise.subarray(0, Math.min(noise.length, length - start)));
    block.writeUIntBE(start, 0, Math.min(6, block.length));
    hash.update(block);
    yield block;
  }
}
