import { expect, test } from "vitest";
import { RunnerStatus } from "../../proto/gen/agyn/runners/v1/runner_pb.ts";
import { WorkloadPhase } from "../../proto/gen/agyn/orchestrator/v1/workload_pb.ts";
import { createWorld, readWholeLog, script, until, untilEnded } from "../support/world.ts";

test("a registered runner enrolls, runs a script, and its log and result come back", async () => {
  await using world = await createWorld();
  const runner = await world.register("build-1");
  world.startRunner(runner);

  const { workload } = await world.admin.orchestrator.startWorkload({
    spec: script("echo hello\necho oops >&2\nexit 3"),
  });
  const lines = await readWholeLog(world.admin, workload!.id);
  const ended = await untilEnded(world.admin, workload!.id);

  expect(lines.toSorted()).toEqual(["hello", "oops"]);
  expect(ended).toMatchObject({
    phase: WorkloadPhase.FAILED,
    message: "exit code 3",
    runnerName: "build-1",
    result: { exitCode: 3 },
  });
  const shown = await world.admin.runners.getRunner({ runner: "build-1" });
  expect(shown.runner).toMatchObject({ status: RunnerStatus.ENROLLED, busy: false });
});

test("a runner that is told to leave is offline at once", async () => {
  await using world = await createWorld({ lease: "60s" });
  const runner = await world.register("build-1");
  const started = world.startRunner(runner);
  const status = async () => (await world.admin.runners.getRunner({ runner: runner.id })).runner!.status;
  await until("the runner is enrolled", async () => (await status()) === RunnerStatus.ENROLLED);

  const code = await started.kill("SIGTERM");

  expect(code).toBe(0);
  expect(await status()).toBe(RunnerStatus.OFFLINE);
});
