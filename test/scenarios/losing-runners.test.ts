import { existsSync } from "node:fs";
import { chmod, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";
import {
  LossPolicySchema,
  RetryPolicySchema,
  WorkloadPhase,
} from "../../proto/gen/agyn/orchestrator/v1/workload_pb.ts";
import { RunnerStatus } from "../../proto/gen/agyn/runners/v1/runner_pb.ts";
import { allOverlays } from "../support/network.ts";
import {
  createWorld,
  readWholeLog,
  script,
  until,
  untilEnded,
  type RunnerProcess,
  type World,
} from "../support/world.ts";

/** Numbers lines until there are so many, a hundred a second or so. */
const counting = (lines: number) => script(`i=0; while [ $i -lt ${lines} ]; do echo $i; i=$((i+1)); sleep 0.01; done`);
const numbers = (lines: number) => Array.from({ length: lines }, (_, index) => String(index));
const get = async (world: World, workload: string) =>
  (await world.admin.orchestrator.getWorkload({ workload })).workload!;
const loss = create(LossPolicySchema, { kind: { case: "after", value: durationFromMs(4000) } });
const retry = create(RetryPolicySchema, { maximumTries: 2, onLost: true });
const untilWrites = (world: World, workload: string) =>
  until("lines arrive", async () => (await world.admin.logs.readLog({ workload })).nextLine > 5n);
const statusOf = async (world: World, runner: string) =>
  (await world.admin.runners.getRunner({ runner })).runner!.status;

test("a server that restarts in mid-job loses and doubles nothing", async () => {
  await using world = await createWorld();
  world.startRunner(await world.register("build-1"));
  const { workload } = await world.admin.orchestrator.startWorkload({ spec: counting(300) });
  await untilWrites(world, workload!.id);
  const { fence } = await get(world, workload!.id);

  await world.restartServer();
  const ended = await untilEnded(world.admin, workload!.id);

  expect(ended).toMatchObject({ phase: WorkloadPhase.SUCCEEDED, fence, try: 1 });
  expect(await readWholeLog(world.admin, workload!.id)).toEqual(numbers(300));
});

test("a runner that is killed in mid-job and started again adopts it under the same fence, and no line is lost", async () => {
  await using world = await createWorld();
  const registered = await world.register("build-1");
  const first = world.startRunner(registered);
  const { workload } = await world.admin.orchestrator.startWorkload({ spec: counting(300) });
  await untilWrites(world, workload!.id);
  const { fence } = await get(world, workload!.id);

  await first.kill("SIGKILL");
  world.startRunner(registered);
  const ended = await untilEnded(world.admin, workload!.id);

  expect(ended).toMatchObject({ phase: WorkloadPhase.SUCCEEDED, fence, try: 1 });
  expect(await readWholeLog(world.admin, workload!.id)).toEqual(numbers(300));
});

test("a job of a runner that is gone for good is tried on another, under a higher fence", async () => {
  await using world = await createWorld();
  const names = ["one", "two"];
  const runners = new Map<string, RunnerProcess>();
  for (const name of names) runners.set(name, world.startRunner(await world.register(name)));
  for (const name of names)
    await until(`${name} is there`, async () => (await statusOf(world, name)) === RunnerStatus.ENROLLED);
  const { workload } = await world.admin.orchestrator.startWorkload({ spec: counting(500), retry, loss });
  await untilWrites(world, workload!.id);

  await runners.get((await get(world, workload!.id)).runnerName)!.kill("SIGKILL");
  const lost = await untilEnded(world.admin, workload!.id);
  const again = await untilEnded(world.admin, lost.retriedBy);

  expect(lost).toMatchObject({ phase: WorkloadPhase.LOST, try: 1 });
  expect(again).toMatchObject({ phase: WorkloadPhase.SUCCEEDED, try: 2, retryOf: lost.id });
  expect(again.runnerId).not.toBe(lost.runnerId);
  expect(again.fence).toBeGreaterThan(lost.fence);
  expect(await readWholeLog(world.admin, again.id)).toEqual(numbers(500));
});

test.each(allOverlays)(
  "bad-15: a link that dies in silence and comes back in time costs nothing, over %s",
  async (over) => {
    await using world = await createWorld({}, { over });
    const runner = await world.register("build-1");
    await using proxy = await world.openProxy(runner);
    world.startRunner(runner);
    const { workload } = await world.admin.orchestrator.startWorkload({
      spec: counting(400),
      retry,
      loss: create(LossPolicySchema, { kind: { case: "after", value: durationFromMs(60_000) } }),
    });
    await untilWrites(world, workload!.id);
    const { fence } = await get(world, workload!.id);

    proxy.blackhole();
    await until("it is out of reach", async () => (await get(world, workload!.id)).unreachableSince !== undefined);
    expect(await statusOf(world, "build-1")).toBe(RunnerStatus.OFFLINE);
    proxy.restore();
    const ended = await untilEnded(world.admin, workload!.id);

    expect(ended).toMatchObject({ phase: WorkloadPhase.SUCCEEDED, fence, try: 1, retriedBy: "" });
    expect(await readWholeLog(world.admin, workload!.id)).toEqual(numbers(400));
  },
);

test("bad-12, bad-15: a runner cut off for too long has stopped the job before the next try begins elsewhere", async () => {
  await using world = await createWorld();
  const runner = await world.register("cut-off");
  await using proxy = await world.openProxy(runner);
  world.startRunner(runner);
  const marks = await mkdtemp(join(tmpdir(), "agyn-marks-"));
  await chmod(marks, 0o777);
  const mark = join(marks, "of");
  const beat = script(`while :; do date +%s%N >> ${mark}.$AGYN_FENCE; sleep 0.02; done`);
  const { workload } = await world.admin.orchestrator.startWorkload({ spec: beat, retry, loss });
  await until("it runs", async () => (await get(world, workload!.id)).phase === WorkloadPhase.RUNNING);

  proxy.blackhole();
  const lost = await untilEnded(world.admin, workload!.id);
  proxy.restore();
  const again = await until("it is tried again", async () => {
    const next = await get(world, lost.retriedBy);
    return next.phase === WorkloadPhase.RUNNING && next;
  });

  const times = async (fence: bigint) => (await readFile(`${mark}.${fence}`, "utf8")).trim().split("\n").map(Number);
  await until("the next try has begun", () => existsSync(`${mark}.${again.fence}`));
  expect((await times(lost.fence)).at(-1)!).toBeLessThan((await times(again.fence))[0]!);
  expect(await get(world, lost.id)).toMatchObject({ phase: WorkloadPhase.LOST, fence: lost.fence });
  await rm(marks, { recursive: true });
});

test("bad-21: a runner that is frozen past its lease goes on with what it holds when it thaws", async () => {
  await using world = await createWorld();
  const runner = world.startRunner(await world.register("build-1"));
  const { workload } = await world.admin.orchestrator.startWorkload({ spec: counting(200) });
  await untilWrites(world, workload!.id);
  const { fence } = await get(world, workload!.id);

  runner.process.kill("SIGSTOP");
  await until("it is out of reach", async () => (await get(world, workload!.id)).unreachableSince !== undefined);
  runner.process.kill("SIGCONT");
  const ended = await untilEnded(world.admin, workload!.id);

  expect(ended).toMatchObject({ phase: WorkloadPhase.SUCCEEDED, fence, retriedBy: "" });
  expect(await readWholeLog(world.admin, workload!.id)).toEqual(numbers(200));
});

test("bad-21: a runner that thaws after its job was given up stops it, and its result is refused", async () => {
  await using world = await createWorld();
  const runner = world.startRunner(await world.register("build-1"));
  const { workload } = await world.admin.orchestrator.startWorkload({ spec: counting(3000), loss });
  await untilWrites(world, workload!.id);

  runner.process.kill("SIGSTOP");
  expect(await untilEnded(world.admin, workload!.id)).toMatchObject({ phase: WorkloadPhase.LOST });
  runner.process.kill("SIGCONT");

  await until("the runner is free again", async () => {
    const shown = (await world.admin.runners.getRunner({ runner: "build-1" })).runner!;
    return shown.status === RunnerStatus.ENROLLED && !shown.busy && runner.output().includes("workload forgotten");
  });
  expect(await get(world, workload!.id)).toMatchObject({ phase: WorkloadPhase.LOST });
});
