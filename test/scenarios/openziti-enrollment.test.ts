import { afterAll, beforeAll, expect, test } from "vitest";
import { readIdentityFile } from "../../overlay/openziti/identity-file.ts";
import { createOpenZitiOverlay } from "../../overlay/openziti/openziti.ts";
import { Operator } from "../../proto/gen/agyn/orchestrator/v1/demand_pb.ts";
import { openGateway } from "../../runner/src/gateway.ts";
import { enroll, renewExpired } from "../../runner/src/enroll.ts";
import { rootPinOf } from "../../runner/src/identity-keys.ts";
import { createIdentityMemory } from "../../runner/src/identity-store.ts";
import { createBootstrapIdentity, createNetworkWorld, type NetworkWorld } from "../support/network-world.ts";
import { outcomeOf, outcomesOf, tokenOf } from "../support/runner-client.ts";
import { readWholeLog, script, until } from "../support/world.ts";

let network: NetworkWorld;
/** The file of an identity that may enroll. */
let bootstrap: string;

beforeAll(async () => {
  network = await createNetworkWorld();
  bootstrap = await createBootstrapIdentity(network, "bootstrap");
  await until("runner plane and enrollment are hosted", () => network.fabric.counts.listeners > 1);
});
afterAll(() => network[Symbol.asyncDispose]());

test("a machine that reaches nothing but the network enrolls there, and works", async () => {
  const { world, fabric } = network;
  const runner = await world.register("dark-1");
  world.startRunner(runner, { zitiIdentity: bootstrap });

  const { workload } = await world.admin.orchestrator.startWorkload({ spec: script("echo dark") });

  expect(await readWholeLog(world.admin, workload!.id)).toEqual(["dark"]);
  expect(await outcomesOf(world.admin, runner.id, "runner.enroll")).toEqual(["ok"]);
  expect(fabric.violations).toEqual([]);
});

test("a bootstrap identity may dial enrollment, and nothing else", async () => {
  const { controllers, ...credential } = readIdentityFile(bootstrap);
  const settings = { backOff_ms: 10 };
  const credentialOf = () => ({ ...credential, caPem: network.fabric.caPem });
  const overlay = createOpenZitiOverlay({ controller: controllers, credential: credentialOf, settings });
  try {
    expect(await overlay.services()).toMatchObject([{ name: "agyn-enroll", permissions: ["Dial"] }]);
    await expect(overlay.dial({ service: "agyn-control-plane" })).rejects.toThrow("no service agyn-control-plane");
    await expect(overlay.listen("agyn-enroll", (connection) => connection.destroy())).rejects.toThrow("Bind");
  } finally {
    await overlay.close();
  }
  expect(network.fabric.violations).toEqual([]);
});

test("over the network only what enrollment needs is served, whatever token comes with the call", async () => {
  const { world } = network;
  const runner = await world.register("curious-1");
  const gateway = gatewayOf(tokenOf(runner.token).rootPin);
  const headers = { authorization: `Bearer ${world.adminToken}` };

  expect(await outcomeOf(gateway.client.startEnrollment({ runnerId: runner.id }))).toBe("ok");
  for (const call of [
    gateway.client.listRunners({}, { headers }),
    gateway.client.rotateServiceToken({ runner: runner.id }, { headers }),
    gateway.client.renewIdentity({}, { headers }),
  ])
    expect(await outcomeOf(call)).toContain("404");
  gateway.close();
});

test("an identity that expired while its runner was away is renewed over the network", async () => {
  const { world } = network;
  const runner = await world.register("away-1");
  const gateway = gatewayOf(tokenOf(runner.token).rootPin);
  const store = createIdentityMemory();
  const deps = { gateway: gateway.client, store, host: "away", signal: AbortSignal.timeout(30_000) };
  const first = await enroll(deps, tokenOf(runner.token));

  const expired = { runnerId: runner.id, expired: first, rootPin: rootPinOf(first) };
  const renewed = await renewExpired(deps, expired);

  expect(renewed).toMatchObject({ identityId: first.identityId, generation: "2" });
  gateway.close();
});

test("a token that is bound to addresses is not taken over the network, where there are none", async () => {
  const { world, fabric } = network;
  const runner = await world.register("bound-1", { token: { sourceCidrs: ["127.0.0.0/8"] } });
  const gateway = gatewayOf(tokenOf(runner.token).rootPin);
  const deps = {
    gateway: gateway.client,
    store: createIdentityMemory(),
    host: "127.0.0.1",
    signal: AbortSignal.timeout(30_000),
  };

  expect(await outcomeOf(enroll(deps, tokenOf(runner.token)))).toBe("SERVICE_TOKEN_REFUSED");
  gateway.close();
  expect(fabric.violations).toEqual([]);
});

test("who hosts the enrollment service without the pinned authority is not spoken to", async () => {
  const { fabric } = network;
  const gateway = gatewayOf(new Uint8Array(32));

  expect(await outcomeOf(gateway.client.startEnrollment({ runnerId: "rnr_aaaaaaaaaaaaaaaa" }))).toContain(
    "root certificate is not the one that the service token pins",
  );
  gateway.close();
  expect(fabric.violations).toEqual([]);
});

test("a runner goes over from our certificates to the network's when the servers do, and back, and enrolls but once", async () => {
  const { world, fabric } = network;
  const runner = await world.register("moving-1", { labels: { moves: "yes" } });
  const started = world.startRunner(runner);
  const sessions = () => started.output().split("session established").length - 1;
  await until("the session", () => sessions() === 1);

  await world.restartServer({ ziti_identity_enrollment: "ott" });

  await until("the network issued it a certificate", async () =>
    (await outcomesOf(world.admin, runner.id, "runner.enroll_in_network")).includes("ok"),
  );
  expect(await logOf("echo moved")).toEqual(["moved"]);
  await until("no authority of ours is known", () => fabric.model.cas.all().length === 0);
  const before = sessions();
  await world.restartServer({ ziti_identity_enrollment: "ca" });
  await until("the session", () => sessions() > before);
  expect(await logOf("echo back")).toEqual(["back"]);
  expect(fabric.model.cas.all().map(({ isVerified }) => isVerified)).toEqual([true, true]);
  expect(await outcomesOf(world.admin, runner.id, "runner.enroll")).toEqual(["ok"]);
  expect(fabric.violations).toEqual([]);
});

/** What a script says on a runner that moves. */
async function logOf(text: string): Promise<string[]> {
  const demand = { requirements: [{ key: "moves", operator: Operator.IN, values: ["yes"] }] };
  const { workload } = await network.world.admin.orchestrator.startWorkload({ spec: script(text), demand });
  return readWholeLog(network.world.admin, workload!.id);
}

/** The gateway over the network, known by what a service token pins. */
function gatewayOf(rootPin: Uint8Array) {
  const { controllers, keyPem, certPem } = readIdentityFile(bootstrap);
  const identity = { controllers, keyPem, certPem, caPem: network.fabric.caPem };
  return openGateway({ gateway: identity, proxies: {}, rootPin: () => rootPin, version: "test" });
}
