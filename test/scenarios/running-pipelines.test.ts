import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
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

test("a run is running from when its first job is taken, and counts each of its jobs as what it is", async () => {
  await using world = await createWorld();
  world.startRunner(await world.register("build-1"), { slots: 1 });

  const { id } = await startRun(world.admin, "jobs:\n  a: { run: sleep 60 }\n  b: { run: sleep 60 }\n");

  await until("the run says that one of its jobs runs", async () => {
    const { run } = await world.admin.runs.getRun({ run: id });
    return runStateName(run!) === "RUNNING" && run!.jobs?.running === 1 && run!.jobs.queued === 1;
  });
  const { run } = await world.admin.runs.getRun({ run: id });
  const started = Object.values(await jobsOf(world.admin, id)).find((job) => job.startTime !== undefined);
  expect(run!.startTime).toEqual(started!.startTime);
  await world.admin.runs.cancelRuns({ filter: { runs: [id] } });
  await untilRunEnded(world.admin, id);
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

test("a failed job is run again in a second attempt, and what succeeded is kept", async () => {
  await using world = await createWorld();
  world.startRunner(await world.register("build-1"));
  const text = `
jobs:
  build: { run: echo built }
  test: { needs: build, run: 'test "$AGYN_RUN_ATTEMPT" = 2' }
  report: { needs: test, run: echo done }
`;
  const run = await startRun(world.admin, text);
  expect(runStateName(await untilRunEnded(world.admin, run.id))).toBe("FAILED");

  await world.admin.runs.rerunRun({ run: run.id, scope: { case: "failed", value: true } });
  const ended = await untilRunEnded(world.admin, run.id);

  const [first, second] = [await jobsOf(world.admin, run.id, 1), await jobsOf(world.admin, run.id, 2)];
  expect(ended).toMatchObject({ attempt: 2, jobs: { succeeded: 3 } });
  expect(Object.values(first).map(stateName)).toEqual(["SUCCEEDED", "FAILED", "SKIPPED"]);
  expect(second["build"]).toMatchObject({ reused: true, workloadId: first["build"]!.workloadId });
  expect(second["test"]).toMatchObject({ reused: false });
});

test("a job that fails is tried again after its back-off, with the same name and another workload", async () => {
  await using world = await createWorld();
  world.startRunner(await world.register("build-1"));
  const open = await mkdtemp(join(tmpdir(), "agyn-flaky-"));
  onTestFinished(() => rm(open, { recursive: true }));
  await chmod(open, 0o777);
  const flag = join(open, "seen");
  const text = `
jobs:
  flaky:
    run: if test -e ${flag}; then exit 0; else echo >${flag}; exit 9; fi
    retries: { max: 2, on: [failed], backoff: 1s }
`;
  const run = await startRun(world.admin, text);
  const ended = await untilRunEnded(world.admin, run.id);

  const { flaky } = await jobsOf(world.admin, run.id);
  expect(runStateName(ended)).toBe("SUCCEEDED");
  expect(flaky).toMatchObject({ try: 2, exitCode: 0 });
  expect(flaky!.workloadIds).toHaveLength(2);
});

test("a cell of a matrix that fails cancels the other cells where the matrix fails fast", async () => {
  await using world = await createWorld();
  world.startRunner(await world.register("build-1"), { slots: 3 });
  const text = `
jobs:
  test:
    matrix: { size: [small, large], fail_fast: true }
    env: { SIZE: '\${{ matrix.size }}' }
    run: if test $SIZE = small; then exit 1; else sleep 60; fi
`;
  const run = await startRun(world.admin, text);
  const ended = await untilRunEnded(world.admin, run.id);

  const jobs = await jobsOf(world.admin, run.id);
  expect(runStateName(ended)).toBe("FAILED");
  expect(stateName(jobs["test (small)"])).toBe("FAILED");
  expect(jobs["test (large)"]).toMatchObject({ message: expect.stringContaining("test (small) failed") as string });
});

test("a job that nobody can take waits, says why, and fails when its time in the queue is over", async () => {
  await using world = await createWorld();
  world.startRunner(await world.register("build-1"));
  const text = "jobs:\n  train: { run: 'true', requires: { capabilities: [gpu] }, queue_timeout: 2s }\n";

  const run = await startRun(world.admin, text);
  const { items } = await world.admin.queue.listQueue({});
  const ended = await untilRunEnded(world.admin, run.id);

  expect(items[0]).toMatchObject({ position: 0, waitsFor: expect.stringContaining('capability "gpu"') as string });
  expect((await jobsOf(world.admin, run.id))["train"]!.message).toContain("no runner took it");
  expect(runStateName(ended)).toBe("FAILED");
});

test("a queued job that is moved to the top is taken first", async () => {
  await using world = await createWorld();
  const text = (name: string) => `jobs:\n  ${name}: { run: echo ${name} }\n`;
  const runs = [];
  for (const name of ["first", "second", "third"]) runs.push(await startRun(world.admin, text(name)));

  await world.admin.queue.moveJob({ job: `${runs[2]!.number}/third`, to: { case: "top", value: true } });
  const { items } = await world.admin.queue.listQueue({});
  world.startRunner(await world.register("build-1"), { slots: 1 });
  for (const run of runs) await untilRunEnded(world.admin, run.id);

  expect(items.map((one) => one.job!.name)).toEqual(["third", "first", "second"]);
  const starts = await Promise.all(
    runs.map(async (run) => (await world.admin.runs.getRun({ run: run.id })).run!.startTime!),
  );
  const order = starts
    .map((one, index) => [Number(one.seconds) * 1e9 + one.nanos, index] as const)
    .toSorted((a, b) => a[0] - b[0]);
  expect(order.map(([, index]) => index)).toEqual([2, 0, 1]);
});

test("what a job hands on reaches the jobs that need it", async () => {
  await using world = await createWorld();
  world.startRunner(await world.register("build-1"));
  const text = `
jobs:
  first: { run: 'echo "x=it is 42" >>"$AGYN_OUTPUT"; echo "hidden=1" >>"$AGYN_OUTPUT"', outputs: [x] }
  second: { needs: first, env: { X: '\${{ needs.first.outputs.x }}' }, run: 'test "$X" = "it is 42"' }
`;
  const run = await startRun(world.admin, text);
  const ended = await untilRunEnded(world.admin, run.id);

  expect(runStateName(ended)).toBe("SUCCEEDED");
  expect((await jobsOf(world.admin, run.id))["first"]!.outputs).toEqual({ x: "it is 42" });
});

test("an attempt of which the audit cannot be kept does not begin", async () => {
  await using world = await createWorld();
  const run = await startRun(world.admin, "jobs: { only: { run: 'true', requires: { labels: { nowhere: here } } } }");
  await world.admin.runs.cancelRuns({ filter: { runs: [run.id] } });
  await world.database.sql`alter table audit_event add check (action <> 'run.rerun')`;

  const again = world.admin.runs.rerunRun({ run: run.id, scope: { case: "all", value: true } });

  await expect(again).rejects.toThrow();
  const { run: left } = await world.admin.runs.getRun({ run: run.id });
  expect([left!.attempt, runStateName(left!)]).toEqual([1, "CANCELLED"]);
});
