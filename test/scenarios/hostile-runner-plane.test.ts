import { once } from "node:events";
import net from "node:net";
import { expect, test } from "vitest";
import { Operator } from "../../proto/gen/agyn/orchestrator/v1/demand_pb.ts";
import { WorkloadPhase } from "../../proto/gen/agyn/orchestrator/v1/workload_pb.ts";
import { createProtocolRunner } from "../support/protocol-runner.ts";
import { allOverlays, isOverOpenZiti, whyTcp } from "../support/network.ts";
import { createWorld, script, until, untilEnded, type World } from "../support/world.ts";

/** Connections to the runner plane that say `first` and then nothing more. */
async function openSilent(world: World, count: number, first: Buffer): Promise<AsyncDisposable & { open(): number }> {
  const { port } = world.server.runnerAddress;
  const sockets = Array.from({ length: count }, () => net.connect(port, "127.0.0.1"));
  for (const socket of sockets) socket.on("error", () => undefined).resume();
  await Promise.all(sockets.map((socket) => once(socket, "connect")));
  for (const socket of sockets) socket.write(first);
  return {
    open: () => sockets.filter((socket) => !socket.destroyed && socket.readyState === "open").length,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** The head of a TLS record that announces a ClientHello, and no more. */
const halfHello = Buffer.from("16030102000100", "hex");

test.for<[string, Buffer]>([
  ["idle", Buffer.alloc(0)],
  ["half through the handshake", halfHello],
])("a thousand and a half connections that are %s keep no runner away", async ([, first], { skip }) => {
  skip(isOverOpenZiti, whyTcp.port);
  await using world = await createWorld();
  await using silent = await openSilent(world, 1500, first);
  await using runner = await createProtocolRunner(world, await world.register("build-1"));

  const session = await until("a session", () => runner.connect().catch(() => false as const), 6000);

  expect(silent.open()).toBeGreaterThan(500);
  expect(session.heard[0]?.case).toBe("welcome");
});

test.for<[string, Buffer]>([
  ["bytes that are no TLS", Buffer.alloc(4096, 0xff)],
  ["HTTP in clear", Buffer.from("GET / HTTP/1.1\r\nhost: x\r\n\r\n")],
])("connections that speak %s are ended at once", async ([, first], { skip }) => {
  skip(isOverOpenZiti, whyTcp.port);
  await using world = await createWorld();
  await using garbage = await openSilent(world, 200, first);
  await until("the end of all", () => garbage.open() === 0, 5000);
});

const onLabel = (value: string) => ({
  requirements: [{ key: "is", operator: Operator.IN, values: [value] }],
});

test.each(allOverlays)(
  "I13, bad-17: a runner that reads nothing holds up no other, and gets all once it reads, over %s",
  async (over) => {
    await using world = await createWorld({ lease: "20s" }, { over });
    const registered = await world.register("slow-1", { labels: { is: "slow" } });
    await using proxy = await world.openProxy(registered);
    await using slow = await createProtocolRunner(world, registered);
    const session = await slow.connect({ hello: { capacity: { slots: 100 } } });
    world.startRunner(await world.register("build-1", { labels: { is: "quick" } }));
    const large = { spec: script(`true ${"x".repeat(250_000)}`), demand: onLabel("slow") };

    proxy.pause();
    for (let count = 0; count < 80; count += 1) await world.admin.orchestrator.startWorkload(large);
    const quick = { spec: script("true"), demand: onLabel("quick") };
    const { workload } = await world.admin.orchestrator.startWorkload(quick);
    expect(await untilEnded(world.admin, workload!.id)).toMatchObject({ phase: WorkloadPhase.SUCCEEDED });
    expect(session.heard.filter(({ case: kind }) => kind === "place")).toHaveLength(0);

    proxy.restore();
    await until("all of it", () => session.heard.filter(({ case: kind }) => kind === "place").length === 80);
    session.close();
  },
);
