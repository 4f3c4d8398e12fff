import { expect, test } from "vitest";
import { WorkloadPhase } from "../../proto/gen/agyn/orchestrator/v1/workload_pb.ts";
import { createNetworkWorld } from "../support/network-world.ts";
import { readWholeLog, script, untilEnded } from "../support/world.ts";

test("a runner enrolls and works over an OpenZiti network, and no TCP port of the runner plane is open", async () => {
  await using network = await createNetworkWorld();
  const { world, fabric } = network;
  const runner = await world.register("build-1");
  world.startRunner(runner);

  const { workload } = await world.admin.orchestrator.startWorkload({ spec: script("echo hello; exit 3") });
  const lines = await readWholeLog(world.admin, workload!.id);
  const ended = await untilEnded(world.admin, workload!.id);

  expect(lines).toEqual(["hello"]);
  expect(ended).toMatchObject({ phase: WorkloadPhase.FAILED, runnerName: "build-1", result: { exitCode: 3 } });
  expect(world.server.runnerEndpoints).toEqual([expect.stringContaining("agyn-control-plane")]);
  expect(fabric.violations).toEqual([]);
});
