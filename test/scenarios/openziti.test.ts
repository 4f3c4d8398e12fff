import { afterAll, beforeAll, expect, test } from "vitest";
import { dialRunnerPlane, enrollClient, outcomeOf, outcomesOf } from "../support/runner-client.ts";
import { exec, startScript } from "../tunnels/support.ts";
import { createNetworkWorld, identityIn, type NetworkWorld } from "../support/network-world.ts";
import { hostsOf } from "../support/network.ts";
import { readWholeLog, script, until, untilConnected, untilEnded } from "../support/world.ts";

let network: NetworkWorld;

beforeAll(async () => {
  network = await createNetworkWorld({ lease: "20s" }, { routers: ["near", "far"] });
});
afterAll(() => network[Symbol.asyncDispose]());

test("a runner works over an OpenZiti network alone, and through another router when one fails", async () => {
  const { world, fabric } = network;
  const runner = await world.register("build-1");
  const started = world.startRunner(runner);
  const sessions = () => started.output().split("session established").length - 1;
  const run = async (text: string) => {
    const { workload } = await world.admin.orchestrator.startWorkload({ spec: script(text) });
    const lines = await readWholeLog(world.admin, workload!.id);
    const { result } = await untilEnded(world.admin, workload!.id);
    return { lines, exitCode: result?.exitCode };
  };
  expect(await run("echo near; exit 3")).toEqual({ lines: ["near"], exitCode: 3 });
  expect(world.server.runnerEndpoints).toEqual(["openziti:agyn-control-plane"]);

  const before = sessions();
  await fabric.router("near").kill();
  await fabric.router("near").revive();
  await fabric.router("far").kill();
  await until("the runner is back", () => sessions() > before);
  expect(await run("echo again")).toEqual({ lines: ["again"], exitCode: 0 });
  const workload = await startScript(world.admin, "sleep 600");
  expect(await exec(world.admin, workload, ["cat"], "inside")).toMatchObject({ stdout: "inside" });
  await fabric.router("far").revive();
  await started.kill("SIGTERM");
  expect(fabric.violations).toEqual([]);
});

test("an identity that is revoked is cut at once, and disabled in the network", async () => {
  const { world, fabric } = network;
  const runner = await world.register("revoked-1");
  const identity = await enrollClient(world.server.gateway, runner.token);
  const client = await dialRunnerPlane(identity);
  const placements = await client.placements();
  await untilConnected(world, runner);

  await world.admin.runners.revokeIdentity({ runner: runner.id, reason: "lost laptop" });

  expect(await placements.ended).toBe("IDENTITY_REVOKED");
  await until("its identity is disabled", () => identityIn(network, runner)?.disabledUntil !== undefined);
  expect(await outcomeOf(dialRunnerPlane(identity))).toContain("INVALID_AUTH");
  client.close();
  expect(fabric.violations).toEqual([]);
});

test("a runner that is locked hears so, is cut, and is disabled in the network until it enrolls anew", async () => {
  const { world, fabric } = network;
  const runner = await world.register("copied-1");
  const isDisabled = () => identityIn(network, runner)?.disabledUntil !== undefined;
  const client = await dialRunnerPlane(await enrollClient(world.server.gateway, runner.token));
  const original = await client.placements({ instanceId: "original" });
  original.confirm();
  await until("the copy is found", async () => {
    const outcome = await outcomeOf(client.placements({ instanceId: "copy" }));
    return outcome === "RUNNER_LOCKED";
  });

  expect(await original.ended).toBe("RUNNER_LOCKED");
  await until("its identity is disabled", isDisabled);
  await world.admin.runners.unlockRunner({ runner: runner.id, reason: "the copy is gone" });
  const again = await enrollClient(world.server.gateway, runner.token);
  await until("its identity is enabled", () => !isDisabled());
  const fresh = await dialRunnerPlane(again);
  expect((await fresh.placements()).welcome.runnerId).toBe(runner.id);
  for (const one of [client, fresh]) one.close();
  expect(fabric.violations).toEqual([]);
});

test("a runner whose identity was revoked while it was away hears why from the gateway, and enrolls anew", async () => {
  const { world, fabric } = network;
  const runner = await world.register("revoked-2");
  const first = world.startRunner(runner);
  await untilConnected(world, runner);
  await first.kill("SIGTERM");
  await world.admin.runners.revokeIdentity({ runner: runner.id, reason: "lost laptop" });
  await until("its identity is disabled", () => identityIn(network, runner)?.disabledUntil !== undefined);

  const again = world.startRunner(runner);
  await untilConnected(world, runner);

  expect(again.output()).toContain("IDENTITY_REVOKED");
  // The network may let the new identity in later than the gateway does: whoever asks again then is answered.
  expect((await outcomesOf(world.admin, runner.id, "runner.renew_expired")).at(0)).toBe("IDENTITY_REVOKED");
  expect(await outcomesOf(world.admin, runner.id, "runner.enroll")).toEqual(["ok", "ok"]);
  await again.kill("SIGTERM");
  expect(fabric.violations).toEqual([]);
});

test("a runner that a network refuses for no reason of ours keeps its identity, and connects once it is let in", async () => {
  const { world, fabric } = network;
  const runner = await world.register("refused-1");
  const first = world.startRunner(runner);
  await untilConnected(world, runner);
  await first.kill("SIGTERM");
  const again = world.startRunner(runner);
  await until("it has asked the gateway why it is refused", async () => {
    const identity = identityIn(network, runner);
    if (identity !== undefined) fabric.model.identities.delete(identity.id);
    return (await outcomesOf(world.admin, runner.id, "runner.renew_expired")).length > 0;
  });
  // The network is looked at when something changes.
  await world.register("refused-2");
  await untilConnected(world, runner);

  expect(await outcomesOf(world.admin, runner.id, "runner.renew_expired")).toEqual(["ok"]);
  expect(await outcomesOf(world.admin, runner.id, "runner.enroll")).toEqual(["ok"]);
  await again.kill("SIGTERM");
  expect(fabric.violations).toEqual([]);
});

test("a runner that is deleted leaves nothing in the network", async () => {
  const { world, fabric } = network;
  const runner = await world.register("deleted-1");
  const names = () =>
    [fabric.model.identities, fabric.model.services, fabric.model.servicePolicies].flatMap((table) =>
      table.all().filter(({ name }) => name.includes(runner.id)),
    );
  await until("all of it is there", () => names().length === 3);

  await world.admin.runners.deleteRunner({ runner: runner.id });

  await until("nothing of it is there", () => names().length === 0);
  expect(fabric.violations).toEqual([]);
});

test("operators see what is kept in the network, what differs there, and why a runner cannot dial", async () => {
  const { world, fabric } = network;
  const { overlay } = world.admin;
  const runner = await world.register("doubtful-1");
  await enrollClient(world.server.gateway, runner.token);
  const failing = async () => {
    const { checks } = await overlay.diagnoseRunner({ runner: runner.id });
    return checks.filter(({ passed }) => !passed).map(({ name }) => name);
  };
  expect(await failing()).toEqual([]);
  expect(await overlay.getOverlayStatus({})).toMatchObject({
    overlays: ["openziti"],
    openziti: { controllerUrl: fabric.url, controllerVersion: "v2.0.3", differingEntities: [], error: "" },
  });

  const identity = identityIn(network, runner) ?? expect.fail("the runner has no identity there");
  // A repair for what was registered before may be on its way, and mends it.
  const seen = await until("it is seen before it is repaired", async () => {
    fabric.model.identities.update(identity, { roleAttributes: [] });
    const [checks, { openziti }] = await Promise.all([failing(), overlay.getOverlayStatus({})]);
    const differing = openziti?.differingEntities ?? [];
    return checks.length > 1 && differing.length > 0 && { checks, differing };
  });

  expect(seen.checks).toEqual(["identity", "dial policy", "routers"]);
  expect(seen.differing).toMatchObject([{ kind: "identities", fields: ["roleAttributes"] }]);
  const { runner: shown } = await world.admin.runners.getRunner({ runner: runner.id });
  expect(shown?.overlayServices).toEqual([`runner-${runner.id}`]);
  expect(fabric.violations).toEqual([]);
});

test("every replica hosts the runner plane, and a runner goes on where another replica is left", async () => {
  const { world, fabric } = network;
  const hosts = () => hostsOf(fabric, "agyn-control-plane").length;
  const alone = hosts();
  const replica = await world.addReplica();
  await until("both host it", () => hosts() > alone);
  const runner = await world.register("moving-1");
  const started = world.startRunner(runner);
  await untilConnected(world, runner);
  const sessions = () => started.output().split("session established").length - 1;
  const before = sessions();

  await world.restartServer();
  await replica.server.close();
  await until("the runner is at the server that is left", () => sessions() > before);
  await untilConnected(world, runner);

  const { workload } = await world.admin.orchestrator.startWorkload({ spec: script("echo here") });
  expect(await readWholeLog(world.admin, workload!.id)).toEqual(["here"]);
  expect(fabric.violations).toEqual([]);
});
