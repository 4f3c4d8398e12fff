/** The dialing end of the overlay benchmark, in a process of its own, whose memory and processor time are measured. */
import { once } from "node:events";
import type { Duplex } from "node:stream";
import type { SecureClientOptions } from "../overlay/secure-client.ts";
import { openClientSession } from "../overlay/secure-session.ts";
import { median, percentile } from "./figure.ts";
import { createOverlay, give, mebibyte, moved_bytes, type Endpoints, type Network, type Use } from "./overlay-terms.ts";

/** Its argument, as JSON. */
export type DialerTerms = { network: Network | undefined; secure: SecureClientOptions; endpoints: Endpoints };

/** What was measured of one kind of connections, in ms, MiB/s and bytes. */
export type Measured = {
  p50_ms: number;
  p99_ms: number;
  oneWay: number;
  oneWayCpu_ms: number;
  /** In each direction. */
  bothWays: number;
  opened: number;
  rss_bytes: number;
  heap_bytes: number;
};
/** What the parent is told in the end. */
export type DialerDone = { bare: Measured; secured: Measured };

/** A kind of connections: how one is opened and proven to work, and how one is got for a use. */
type Kind = { connections: number; open: () => Promise<Disposable>; connect: (use: Use) => Promise<Duplex> };

/** A handshake of TLS takes milliseconds of both ends, so that there are fewer where each has one. */
const openConnections = { bare: 2_000, secured: 500 };
const openedAtOnce = 16;
const message = Buffer.alloc(64, "agyn");
const warmUps = 500;
const roundTrips = 2_000;
const rounds = 3;

const { network, secure, endpoints } = JSON.parse(process.argv[2]!) as DialerTerms;
const overlay = createOverlay(network);

const bare: Kind = {
  connections: openConnections.bare,
  async open() {
    const connection = await overlay.dial(endpoints.echo);
    await there(connection);
    return { [Symbol.dispose]: () => void connection.destroy() };
  },
  connect: (use) => overlay.dial(endpoints[use]),
};
const secured: Kind = {
  connections: openConnections.secured,
  async open() {
    const session = await openSession();
    return { [Symbol.dispose]: () => session.close() };
  },
  async connect(use) {
    const session = await openSession();
    const stream = await session.request("POST", `/${use}`, {}, {});
    return stream.once("close", () => session.close());
  },
};

process.send!({ bare: await measure(bare), secured: await measure(secured) } satisfies DialerDone);
process.disconnect!();
await overlay.close();

async function openSession() {
  const signal = AbortSignal.timeout(20_000);
  return openClientSession((until) => overlay.dial(endpoints.secured, { signal: until }), { ...secure, signal });
}

/** What is opened comes first, before anything else has made the heap what it is then. */
async function measure(kind: Kind): Promise<Measured> {
  (await kind.open())[Symbol.dispose]();
  const opening = await measureOpening(kind);
  const times = await measureRoundTrips(kind);
  const oneWay: { rate: number; cpu_ms: number }[] = [];
  const bothWays: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    oneWay.push(await move(kind, "take"));
    bothWays.push((await move(kind, "both")).rate);
  }
  return {
    p50_ms: percentile(times, 0.5),
    p99_ms: percentile(times, 0.99),
    oneWay: median(oneWay.map(({ rate }) => rate)),
    oneWayCpu_ms: median(oneWay.map(({ cpu_ms }) => cpu_ms)),
    bothWays: median(bothWays),
    ...opening,
  };
}

async function measureOpening({
  connections: count,
  open,
}: Kind): Promise<Pick<Measured, "opened" | "rss_bytes" | "heap_bytes">> {
  const before = memory();
  const start_ms = performance.now();
  const connections: Disposable[] = [];
  let begun = 0;
  const worker = async () => {
    while (begun++ < count) connections.push(await open());
  };
  await Promise.all(Array.from({ length: openedAtOnce }, worker));
  const opened = count / ((performance.now() - start_ms) / 1000);
  const after = memory();
  for (const connection of connections) connection[Symbol.dispose]();
  return {
    opened,
    rss_bytes: (after.rss - before.rss) / count,
    heap_bytes: (after.heapUsed - before.heapUsed) / count,
  };
}

function memory(): NodeJS.MemoryUsage {
  gc?.();
  return process.memoryUsage();
}

async function measureRoundTrips({ connect }: Kind): Promise<number[]> {
  const stream = await connect("echo");
  const times: number[] = [];
  for (let count = 0; count < warmUps + roundTrips; count += 1) {
    const start_ms = performance.now();
    await there(stream);
    if (count >= warmUps) times.push(performance.now() - start_ms);
  }
  stream.destroy();
  return times;
}

/** One message there, and back. */
async function there(stream: Duplex): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let left_bytes = message.length;
  const onData = (bytes: Buffer) => {
    left_bytes -= bytes.length;
    if (left_bytes === 0) resolve();
  };
  const onClose = () => reject(new Error("the connection closed before the answer"));
  stream.on("data", onData).once("close", onClose);
  stream.write(message);
  await promise;
  stream.off("data", onData).off("close", onClose);
}

async function move({ connect }: Kind, use: "take" | "both"): Promise<{ rate: number; cpu_ms: number }> {
  const stream = await connect(use);
  const cpu = process.cpuUsage();
  const start_ms = performance.now();
  const ended = once(stream.resume(), "end");
  await Promise.all([give(stream), ended]);
  const time_ms = performance.now() - start_ms;
  const { user, system } = process.cpuUsage(cpu);
  stream.destroy();
  const megabytes = moved_bytes / mebibyte;
  return { rate: megabytes / (time_ms / 1000), cpu_ms: (user + system) / 1000 / megabytes };
}
