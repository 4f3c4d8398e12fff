import { X509Certificate } from "node:crypto";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openIdentityDirectory, type StoredIdentity } from "../../runner/src/identity-store.ts";
import { hostsOf } from "../support/network.ts";
import { createNetworkWorld, type NetworkWorld } from "../support/network-world.ts";
import { dialRunnerPlane, outcomeOf } from "../support/runner-client.ts";
import { until, untilConnected, type RegisteredRunner } from "../support/world.ts";
import { converse, startScript, type Conversation } from "../tunnels/support.ts";

const ttl_ms = 15_000;
/** A second is what is promised; the rest is for a busy machine, and less than anything else that would end a tunnel. */
const bound_ms = 5000;
let network: NetworkWorld;

beforeEach(async () => {
  network = await createNetworkWorld({ lease: "60s", certificate_ttl: `${ttl_ms}ms` }, { openRouterPolicies: true });
});
afterEach(() => network[Symbol.asyncDispose]());

/** A command that runs by a connection that was dialed to its runner, which stands still from then on: it ends nothing by itself. */
async function openTunnel(): Promise<{ runner: RegisteredRunner; inside: Conversation; identity: StoredIdentity }> {
  const { world, fabric } = network;
  const runner = await world.register("build-1");
  const started = world.startRunner(runner);
  await untilConnected(world, runner);
  const service = `runner-${runner.id}`;
  await until("the runner hosts its service", () => hostsOf(fabric, service).length > 0);
  const workload = await startScript(world.admin, "sleep 600");
  const before = fabric.dialsOf(service);
  const inside = converse(world.admin, workload, { arguments: ["sh", "-c", "echo inside; exec sleep 600"] });
  await inside.hear("inside");
  started.process.kill("SIGSTOP");
  expect(fabric.dialsOf(service)).toBe(before + 1);
  const { identity } = openIdentityDirectory(join(runner.dataDirectory, "identity")).load() ?? {};
  return { runner, inside, identity: identity ?? expect.fail("the runner has no identity") };
}

test("I12: locking a runner cuts at once what goes through a connection that was dialed to it, without the network's help", async () => {
  const { inside, identity } = await openTunnel();
  const copy = await dialRunnerPlane(identity);
  network.fabric.controller.away();
  expect(await outcomeOf(copy.placements({ instanceId: "copy" }))).toBe("RUNNER_LOCKED");
  const locked_ms = performance.now();
  expect(await outcomeOf(inside.ended)).toBe("UNAVAILABLE");
  expect(performance.now() - locked_ms).toBeLessThan(bound_ms);
  copy.close();
  expect(network.fabric.violations).toEqual([]);
});

test("a runner's identity that expires takes along what goes through a connection that was dialed to it", async () => {
  const { inside, identity } = await openTunnel();
  const { validToDate } = new X509Certificate(identity.chainPem);
  expect(await outcomeOf(inside.ended)).toBe("UNAVAILABLE");
  const late_ms = Date.now() - validToDate.getTime();
  expect(late_ms).toBeGreaterThanOrEqual(0);
  expect(late_ms).toBeLessThan(bound_ms);
  expect(network.fabric.violations).toEqual([]);
});
