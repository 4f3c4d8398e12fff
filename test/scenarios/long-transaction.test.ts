import { expect, test } from "vitest";
import { WorkloadPhase } from "../../proto/gen/agyn/orchestrator/v1/workload_pb.ts";
import { createWorld, script, untilEnded } from "../support/world.ts";

test("a transaction that somebody leaves open holds back neither placing nor watching", async () => {
  await using world = await createWorld();
  const opened = await world.database.sql.reserve();
  await opened`begin`;
  await opened`select pg_current_xact_id()`;
  const watching = world.admin.runners.watchRunners({})[Symbol.asyncIterator]();
  await watching.next();
  await watching.next();

  const runner = await world.register("build-1");
  world.startRunner(runner);
  const { workload } = await world.admin.orchestrator.startWorkload({ spec: script("true") });
  const ended = await untilEnded(world.admin, workload!.id);
  const seen = await watching.next();

  expect(ended.phase).toBe(WorkloadPhase.SUCCEEDED);
  expect(seen.value).toMatchObject({ runners: [{ name: "build-1" }] });
  await opened`rollback`;
  opened.release();
});
