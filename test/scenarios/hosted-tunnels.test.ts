import { once } from "node:events";
import type { Duplex } from "node:stream";
import { createClient } from "@connectrpc/connect";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import type { OverlayError } from "../../overlay/errors.ts";
import { createOpenZitiOverlay, type OpenZitiOverlay } from "../../overlay/openziti/openziti.ts";
import { openSecureServer } from "../../overlay/secure-server.ts";
import { TunnelsService } from "../../proto/gen/agyn/tunnels/v1/tunnels_service_pb.ts";
import { openOver } from "../../runner/src/connection.ts";
import { createId } from "../../wire/ids.ts";
import { controlPlaneCredentials, newAuthority } from "../overlay/world.ts";
import { hostsOf } from "../support/network.ts";
import { createNetworkWorld, type NetworkWorld } from "../support/network-world.ts";
import { enrollClient, outcomeOf } from "../support/runner-client.ts";
import { until, type RegisteredRunner } from "../support/world.ts";
import { connectRunner, converse, exec, startScript, untilGone } from "../tunnels/support.ts";

let network: NetworkWorld;
let runner: RegisteredRunner;
let workload: string;

beforeAll(async () => {
  network = await createNetworkWorld({ lease: "20s" }, { openRouterPolicies: true });
  runner = await connectRunner(network.world, "build-1");
  workload = await startScript(network.world.admin, "sleep 600");
  await untilHosted();
});
afterAll(() => network[Symbol.asyncDispose]());

const dials = () => network.fabric.dialsOf(`runner-${runner.id}`);
const service = () => network.fabric.model.services.find(({ name }) => name === `runner-${runner.id}`)!;
const hosts = () => hostsOf(network.fabric, service().name);

function untilHosted(): Promise<boolean> {
  return until("the runner hosts its service", () => hosts().length > 0);
}

/** Somebody else in the network, whom its ruler lets dial or host the runner's service. */
async function stranger(may: "Dial" | "Bind"): Promise<OpenZitiOverlay> {
  const { fabric } = network;
  const { keyPem, certPem } = await fabric.addIdentity(`may ${may}`, { roleAttributes: [`may-${may}`] });
  fabric.permit(may, [`#may-${may}`], service());
  const credential = () => ({ keyPem, certPem, caPem: fabric.caPem });
  const overlay = createOpenZitiOverlay({ controller: fabric.url, credential });
  onTestFinished(() => overlay.close());
  return overlay;
}

/** Takes the runner's place in the network until the test is over. */
async function hostInItsPlace(onConnection: (connection: Duplex) => void): Promise<void> {
  const { terminators } = network.fabric.model;
  const overlay = await stranger("Bind");
  for (const { id } of hosts()) terminators.delete(id);
  await overlay.listen(`runner-${runner.id}`, onConnection);
}

test("a command goes into a workload by the service that its runner hosts, from a replica that it has no session with, too", async () => {
  const before = dials();
  const replica = await network.world.addReplica();
  onTestFinished(() => replica.server.close());
  for (const { tunnels } of [network.world.admin, replica.admin])
    expect(await exec({ tunnels }, workload, ["cat"], "inside")).toMatchObject({ stdout: "inside" });
  expect(dials()).toBe(before + 2);
  expect(network.fabric.violations).toEqual([]);
});

test("I5: who dials a runner and is not the control plane sees no certificate of it, and nothing else", async () => {
  const refused: OverlayError[] = [];
  const impostor = openSecureServer({
    ...(await controlPlaneCredentials(await newAuthority())),
    onRequest: () => expect.fail("the runner says something"),
    onRefused: (error) => refused.push(error),
  });
  const overlay = await stranger("Dial");
  const connection = await overlay.dial({ service: service().name });
  connection.write(createId("tunnel"));
  impostor.accept(connection, { address: "stranger" });

  await until("it is hung up", () => connection.destroyed);

  expect(refused).toMatchObject([{ reason: "broken", message: expect.stringContaining("TLS handshake") }]);
  expect([...impostor.sessions()]).toEqual([]);
});

test("I5: who hosts a runner's service in its place gets no tunnel of it, not even as another runner", async () => {
  const { world } = network;
  const identity = await enrollClient(world.server.gateway, (await world.register("other-1")).token);
  const told: Promise<string>[] = [];
  const takeIt = async (connection: Duplex): Promise<void> => {
    const [tunnelId] = (await once(connection, "data")) as [Buffer];
    connection.pause();
    const { signal } = new AbortController();
    const { transport } = await openOver(async () => connection, { identity, signal });
    async function* requests() {
      yield { kind: { case: "open" as const, value: tunnelId.toString() } };
    }
    const call = createClient(TunnelsService, transport).tunnel(requests());
    told.push(outcomeOf(call[Symbol.asyncIterator]().next()).finally(() => connection.destroy()));
  };
  await hostInItsPlace((connection) => void takeIt(connection));
  const before = dials();
  expect(await exec(world.admin, workload, ["cat"], "its own")).toMatchObject({ stdout: "its own" });
  expect({ dials: dials() - before, told: await Promise.all(told) }).toEqual({ dials: 1, told: ["STATE"] });
});

test("where nobody hosts the service, the runner opens the tunnel over its own connection", async () => {
  await until("nobody hosts it", () => hosts().length === 0);
  const before = dials();
  expect(await exec(network.world.admin, workload, ["cat"], "called")).toMatchObject({ stdout: "called" });
  expect(dials()).toBe(before);
});

test("I5: revoking a runner's identity ends at once what goes through a connection that was dialed to it", async () => {
  const { world, fabric } = network;
  await fabric.router().kill();
  await fabric.router().revive();
  await untilHosted();
  const before = dials();
  const inside = await until("a command runs", async () => {
    const conversation = converse(world.admin, workload, { arguments: ["sh", "-c", "echo $$; exec sleep 600"] });
    return conversation.hear("\n").then(
      () => conversation,
      () => false as const,
    );
  });
  expect(dials()).toBeGreaterThan(before);
  await world.admin.runners.revokeIdentity({ runner: runner.id, reason: "lost laptop" });
  expect(await outcomeOf(inside.ended)).toBe("UNAVAILABLE");
  await untilGone(inside.stdout().trim());
});
