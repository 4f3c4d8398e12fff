import { expect, test } from "vitest";
import { createWorld, until } from "../support/world.ts";
import { jobsOf, runStateName, startRun, stateName, untilRunEnded } from "../support/runs.ts";

const chain = `
jobs:
  build:
    run: echo built
  test:
    needs: build
    run: test "$AGYN_JOB_NAME" = test
  report:
    needs: [build, test]
    if: always()
    run: echo done
`;

test("the jobs of a pipeline run after those they need", async () => {
  await using world = await createWorld();
  world.startRunner(await world.register("build-1"));

  const run = await startRun(world.admin, chain);
  const ended = await untilRunEnded(world.admin, run.id);

  const jobs = await jobsOf(world.admin, run.id);
  expect(runStateName(ended)).toBe("SUCCEEDED");
  expect(ended.jobs).toMatchObject({ succeeded: 3 });
  expect(Number(jobs["test"]!.startTime!.seconds)).toBeGreaterThanOrEqual(Number(jobs["build"]!.endTime!.seconds));
});

test("a job that fails lets those that need it be skipped, and one that always runs run", async () => {
  await using world = await createWorld();
  world.startRunner(await world.register("build-1"));

  const run = await startRun(world.admin, chain.replace("echo built", "exit 3"));
  const ended = await untilRunEnded(world.admin, run.id);

  const jobs = await jobsOf(world.admin, String(ended.number));
  expect(runStateName(ended)).toBe("FAILED");
  expect(Object.values(jobs).map(stateName)).toEqual(["FAILED", "SKIPPED", "SUCCEEDED"]);
  expect(jobs["build"]).toMatchObject({ exitCode: 3, message: "exit code 3" });
  expect(jobs["test"]!.message).toContain("build");
});

test("a run that is cancelled ends its queued jobs at once and its running ones by a signal", async () => {
  await using world = await createWorld();
  world.startRunner(await world.register("build-1"), { slots: 1 });
  const run = await startRun(world.admin, "jobs:\n  a: { run: sleep 60 }\n  b: { run: sleep 60 }\n");
  await until("one runs", async () =>
    Object.values(await jobsOf(world.admin, run.id)).some((job) => job.runnerId !== ""),
  );

  const { count } = await world.admin.runs.cancelRuns({ filter: { runs: [String(run.number)] }, reason: "not needed" });
  const ended = await untilRunEnded(world.admin, run.id);

  expect(count).toBe(1);
  expect(runStateName(ended)).toBe("CANCELLED");
  expect(Object.values(await jobsOf(world.admin, run.id)).map(stateName)).toEqual(["CANCELLED", "CANCELLED"]);
});
