import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { enrollInNetwork } from "../../runner/src/enroll.ts";
import { createIdentityMemory, openIdentityDirectory, type StoredIdentity } from "../../runner/src/identity-store.ts";
import { createNetworkCredentials } from "../../runner/src/network-credentials.ts";
import { createIdentityKey } from "../../wire/csr.ts";
import { createCertificate } from "../support/certificate.ts";
import {
  createBootstrapIdentity,
  createNetworkWorld,
  identityIn,
  untilRepaired,
  type NetworkWorld,
} from "../support/network-world.ts";
import { hostsOf } from "../support/network.ts";
import { enrollClient, outcomeOf, outcomesOf } from "../support/runner-client.ts";
import { clientsFor, readWholeLog, script, until, untilConnected, type RegisteredRunner } from "../support/world.ts";

let network: NetworkWorld;

beforeAll(async () => {
  const settings = { lease: "20s", ziti_identity_enrollment: "ott" };
  network = await createNetworkWorld(settings, { times: { lookup_ms: 100 } });
});
afterAll(() => network[Symbol.asyncDispose]());

test("a network that takes no authority of ours issues a runner its certificate, which it keeps", async () => {
  const { world, fabric } = network;
  const runner = await world.register("issued-1");
  const first = world.startRunner(runner);
  expect(await logOf("echo issued")).toEqual(["issued"]);
  const kept = keptBy(runner);

  await first.kill("SIGTERM");
  const second = world.startRunner(runner);
  await untilConnected(world, runner);

  expect(keptBy(runner)).toEqual(kept);
  expect(await outcomesAt(runner)).toEqual(["ok"]);
  expect([...fabric.model.cas.all(), identityIn(network, runner)?.externalId]).toEqual([undefined]);
  await second.kill("SIGTERM");
  expect(fabric.violations).toEqual([]);
});

test("a machine that reaches nothing but such a network enrolls there, too", async () => {
  const { world, fabric } = network;
  const runner = await world.register("dark-1");
  const started = world.startRunner(runner, { zitiIdentity: await createBootstrapIdentity(network, "bootstrap") });

  expect(await logOf("echo dark")).toEqual(["dark"]);

  expect((await outcomesAt(runner)).at(-1)).toBe("ok");
  await started.kill("SIGTERM");
  expect(fabric.violations).toEqual([]);
});

test("a certificate that the network takes no more is got anew, by runner and control plane alike", async () => {
  const { world, fabric } = network;
  const runner = await world.register("forgotten-1");
  const started = world.startRunner(runner);
  const sessions = () => started.output().split("session established").length - 1;
  await until("the session", () => sessions() === 1);
  const before = keptBy(runner);
  const { authenticators, identities } = fabric.model;

  const ours = identities.all().filter(({ name }) => name.startsWith("agyn."));
  for (const one of authenticators.all())
    if (ours.some(({ id }) => id === one.identityId)) authenticators.delete(one.id);
  await world.register("another-1");

  await until("the session", () => sessions() > 1);
  expect(keptBy(runner)).not.toEqual(before);
  expect(await logOf("echo again")).toEqual(["again"]);
  await started.kill("SIGTERM");
  expect(fabric.violations).toEqual([]);
});

test("an identity that is revoked is disabled there and gets no certificate; its runner hears that, and enrolls anew", async () => {
  const { world, fabric } = network;
  const runner = await world.register("revoked-1");
  const store = openIdentityDirectory(join(runner.dataDirectory, "identity"));
  const stolen = await enrollClient(world.server.gateway, runner.token, store);
  await untilRepaired(network);
  expect(await outcomeOf(certificateOf(runner, stolen))).toBe("ok");

  await world.admin.runners.revokeIdentity({ runner: runner.id, reason: "lost laptop" });

  await until("its identity is disabled", () => identityIn(network, runner)?.disabledUntil !== undefined);
  expect(await outcomeOf(certificateOf(runner, stolen))).toBe("IDENTITY_REVOKED");
  const started = world.startRunner(runner);
  await until("its session", () => started.output().includes("session established"));
  expect(keptBy(runner).identityId).not.toBe(stolen.identityId);
  expect(await outcomesOf(world.admin, runner.id, "runner.enroll")).toEqual(["ok", "ok"]);
  expect(fabric.violations).toEqual([]);
});

test("a certificate is replaced from half of its life on, and serves as long as the gateway is away", async () => {
  const { world, fabric } = network;
  const runner = await world.register("aging-1");
  const store = createIdentityMemory();
  const { identityId } = await enrollClient(world.server.gateway, runner.token, store);
  await untilRepaired(network);
  const { cert: certPem, key: keyPem } = await createCertificate("old", { fromDay: -20 });
  const old = { identityId, controllerUrl: fabric.url, keyPem, certPem };
  store.saveNetworkCredential(old);
  const currentBy = (gateway: string) => createNetworkCredentials({ ...depsOf(gateway), store }).current(fabric.url);

  expect(await currentBy("http://127.0.0.1:1")).toEqual(old);
  const next = await currentBy(world.server.gateway);

  expect(next.certPem).not.toBe(certPem);
  expect(await currentBy("http://127.0.0.1:1")).toEqual(next);
  store.saveNetworkCredential({ ...next, certPem: "broken" });
  expect((await currentBy(world.server.gateway)).keyPem).not.toBe(next.keyPem);
});

test("I5: a runner gets a certificate for itself alone, by the key of its own identity", async () => {
  const { world } = network;
  const [runner, other] = [await world.register("own-1"), await world.register("other-1")];
  const identity = await enrollClient(world.server.gateway, runner.token);
  const strange = await enrollClient(world.server.gateway, other.token);
  await untilRepaired(network);

  expect(await outcomeOf(certificateOf(other, identity))).toBe("IDENTITY_REVOKED");
  expect(await outcomeOf(certificateOf(runner, { ...identity, keyPem: strange.keyPem }))).toBe("UNAUTHENTICATED");
  expect(await outcomeOf(certificateOf(runner, identity))).toBe("ok");
});

test("a runner goes over to our certificates when the servers do, needs the network's no more, and goes back", async () => {
  const { world, fabric } = network;
  const runner = await world.register("moving-1");
  const first = world.startRunner(runner);
  const service = `runner-${runner.id}`;
  await until("it hosts its service", () => hostsOf(fabric, service).length > 0);
  const { authenticators, cas } = fabric.model;

  await world.restartServer({ ziti_identity_enrollment: "ca" });
  await until("our authorities are known", () => cas.all().filter(({ isVerified }) => isVerified).length === 2);
  await untilConnected(world, runner);
  const { id } = identityIn(network, runner) ?? expect.fail("the runner has no identity");
  authenticators.delete(authenticators.find(({ identityId }) => identityId === id)!.id);
  await until("it is cut off", () => hostsOf(fabric, service).length === 0);
  await until("it hosts its service", () => hostsOf(fabric, service).length > 0);
  expect(await logOf("echo ours")).toEqual(["ours"]);
  expect(await certificatesOf(runner)).toBe(1);

  await world.restartServer({ ziti_identity_enrollment: "ott" });
  await until("no authority of ours is known", () => cas.all().length === 0);
  expect(await logOf("echo theirs")).toEqual(["theirs"]);
  await first.kill("SIGTERM");
  const second = world.startRunner(runner);
  await until("it has another certificate of the network", async () => (await certificatesOf(runner)) > 1);
  await untilConnected(world, runner);
  await until("it hosts its service", () => hostsOf(fabric, service).length > 0);
  expect(await outcomesOf(world.admin, runner.id, "runner.enroll")).toEqual(["ok"]);
  await second.kill("SIGTERM");
  expect(fabric.violations).toEqual([]);
});

async function logOf(text: string): Promise<string[]> {
  const { orchestrator } = network.world.admin;
  const { workload } = await orchestrator.startWorkload({ spec: script(text) });
  return readWholeLog(network.world.admin, workload!.id);
}

function keptBy({ dataDirectory }: RegisteredRunner) {
  return openIdentityDirectory(join(dataDirectory, "identity")).loadNetworkCredential() ?? expect.fail("none is kept");
}

/** What a runner asks the gateway for; proven with any identity. */
function certificateOf({ id: runnerId }: RegisteredRunner, identity: StoredIdentity): Promise<string> {
  return enrollInNetwork(depsOf(network.world.server.gateway), { runnerId, identity, key: createIdentityKey() });
}

function depsOf(gateway: string) {
  const { runners } = clientsFor(gateway, "");
  return { gateway: runners, store: createIdentityMemory(), host: "", signal: AbortSignal.timeout(30_000) };
}

/** How a runner's enrollments in the network ended. */
/** How many certificates of the network it got: a server that has changed its ways refuses whoever asks it for one. */
async function certificatesOf(runner: RegisteredRunner): Promise<number> {
  return (await outcomesAt(runner)).filter((outcome) => outcome === "ok").length;
}

function outcomesAt({ id }: RegisteredRunner): Promise<string[]> {
  return outcomesOf(network.world.admin, id, "runner.enroll_in_network");
}
