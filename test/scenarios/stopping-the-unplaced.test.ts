import { expect, test } from "vitest";
import { WorkloadPhase } from "../../proto/gen/agyn/orchestrator/v1/workload_pb.ts";
import { createProtocolRunner } from "../support/protocol-runner.ts";
import { createWorld, script, untilEnded } from "../support/world.ts";

test("a workload that its runner rejects after people stopped it is cancelled at once", async () => {
  await using world = await createWorld();
  await using runner = await createProtocolRunner(world, await world.register("build-1"));
  const session = await runner.connect();
  const { workload } = await world.admin.orchestrator.startWorkload({ spec: script("true") });
  const { workloadId, fence } = await session.next("place");
  await world.admin.orchestrator.stopWorkload({ workload: workloadId, reason: "not needed" });
  await session.next("stop");

  session.say({ case: "rejected", value: { workloadId, fence, reason: "full" } });

  const ended = await untilEnded(world.admin, workload!.id);
  expect(ended).toMatchObject({ phase: WorkloadPhase.CANCELLED, message: "not needed" });
});
