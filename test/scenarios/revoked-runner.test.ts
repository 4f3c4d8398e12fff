import { expect, test } from "vitest";
import { RunnerStatus } from "../../proto/gen/agyn/runners/v1/runner_pb.ts";
import { createWorld, script, until } from "../support/world.ts";

test("a runner whose identity is revoked is offline at once, and what it runs is out of reach", async () => {
  await using world = await createWorld({ lease: "60s" });
  const runner = await world.register("build-1");
  world.startRunner(runner);
  const { workload } = await world.admin.orchestrator.startWorkload({ spec: script("sleep 20") });
  const found = async () => (await world.admin.orchestrator.getWorkload({ workload: workload!.id })).workload!;
  await until("it runs", async () => (await found()).startTime !== undefined);

  await world.admin.runners.revokeIdentity({ runner: runner.id, reason: "test" });

  const shown = await until("the runner is offline", async () => {
    const { runner: now } = await world.admin.runners.getRunner({ runner: runner.id });
    return now!.status === RunnerStatus.OFFLINE && now;
  });
  expect(shown.identity).toBeUndefined();
  await until("its workload is out of reach", async () => (await found()).unreachableSince !== undefined);
});
