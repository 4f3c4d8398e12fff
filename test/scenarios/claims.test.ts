import { expect, test } from "vitest";
import { Operator } from "../../proto/gen/agyn/orchestrator/v1/demand_pb.ts";
import { dialRunnerPlane, enrollClient, outcomeOf } from "../support/runner-client.ts";
import { createWorld, script, untilConnected, type World } from "../support/world.ts";

test("bad-09: what a runner claims beyond what it was granted finds it no work, also when it claims it later", async () => {
  await using world = await createWorld({ lease: "20s" });
  const runner = await world.register("build-1", { labels: { team: "a" }, capabilities: ["docker"] });
  const client = await dialRunnerPlane(await enrollClient(world.server.gateway, runner.token));

  const first = await client.placements({ foundCapabilities: ["docker"], executors: ["process"] });
  await untilConnected(world, runner);
  const before = await outcomes(world);
  first.leave();
  await client.placements({
    foundCapabilities: ["docker", "gpu"],
    executors: ["process"],
    lastSessionNumber: 1n,
    instanceId: "team-b",
  });
  const after = await outcomes(world);

  expect(before).toEqual({ docker: "ok", gpu: "NO_RUNNER", team: "NO_RUNNER" });
  expect(after).toEqual(before);
  const shown = await world.admin.runners.getRunner({ runner: runner.id });
  expect(shown.runner).toMatchObject({ labels: { team: "a" }, capabilities: ["docker"] });
  client.close();
});

test.for(["agyn/os", "agyn/isolation"])("bad-09: an operator cannot forge the reported label %s", async (label) => {
  await using world = await createWorld();

  const registering = world.register("build-1", { labels: { [label]: "linux" } });

  expect(await outcomeOf(registering)).toBe("INVALID_ARGUMENT");
});

test("bad-09: a cluster-scoped runner that isolates nothing is refused, unless its operator accepts it", async () => {
  await using world = await createWorld();
  const runner = await world.register("shared", { cluster: true });
  const client = await dialRunnerPlane(await enrollClient(world.server.gateway, runner.token));

  expect(await outcomeOf(client.placements({ isolation: "none" }))).toBe("STATE");
  expect(await outcomeOf(client.placements({ isolation: "none", unsafeSharedUser: true }))).toBe("ok");
  client.close();
});

/** What becomes of workloads that ask for what was granted, and for what was only claimed. */
async function outcomes(world: World) {
  const start = (demand: object) => outcomeOf(world.admin.orchestrator.startWorkload({ spec: script("true"), demand }));
  return {
    docker: await start({ capabilities: ["docker"] }),
    gpu: await start({ capabilities: ["gpu"] }),
    team: await start({ requirements: [{ key: "team", operator: Operator.IN, values: ["b"] }] }),
  };
}
