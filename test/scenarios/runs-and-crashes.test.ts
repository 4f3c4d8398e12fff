import { expect, test } from "vitest";
import type { Job } from "../../proto/gen/agyn/runs/v1/run_pb.ts";
import { createMeeting } from "../support/meeting.ts";
import { createProtocolRunner } from "../support/protocol-runner.ts";
import { jobsOf, runStateName, startRun, stateName, untilRunEnded } from "../support/runs.ts";
import { createServerProcess } from "../support/server-process.ts";
import { createWorld, startRunnerProcess, until, type Clients } from "../support/world.ts";

const work = (building: string, testing: string) => `
jobs:
  build: { run: ${JSON.stringify(building)} }
  test: { needs: build, run: ${JSON.stringify(testing)}, matrix: { n: [1, 2, 3, 4, 5, 6] } }
  report: { needs: test, run: 'true' }
`;
const once = (jobs: Record<string, Job>) =>
  Object.values(jobs).map((job) => [stateName(job), job.try, job.workloadIds.length]);
const untilRuns = (clients: Clients, run: string, name: string) =>
  until(`${name} runs`, async () => stateName((await jobsOf(clients, run))[name]) === "RUNNING", 30_000);

test("a server that is killed at once in mid-run, twice, loses no job and runs none twice", async () => {
  await using server = await createServerProcess();
  await server.start();
  const runner = startRunnerProcess(server.gateway, await server.register("build-1"), { slots: 3 });
  await using _end = { [Symbol.asyncDispose]: async () => void (await runner.kill("SIGKILL")) };
  await using building = await createMeeting();
  await using testing = await createMeeting();
  const { id } = await startRun(server.admin, work(building.script, testing.script));

  for (const [name, meeting] of [
    ["build", building],
    ["test (1)", testing],
  ] as const) {
    await untilRuns(server.admin, id, name);
    await server.killAtOnce();
    await meeting.release();
    await server.start();
  }
  const ended = await untilRunEnded(server.admin, id);

  expect(runStateName(ended)).toBe("SUCCEEDED");
  expect(once(await jobsOf(server.admin, id))).toEqual(Array.from({ length: 8 }, () => ["SUCCEEDED", 1, 1]));
}, 120_000);

test("a second replica takes a run over where the first has gone, with its pauses and limits", async () => {
  await using world = await createWorld();
  const { server, admin } = await world.addReplica();
  world.startRunner(await world.register("build-1"), { gateway: server.gateway, slots: 3 });
  await using building = await createMeeting();
  const { id } = await startRun(world.admin, work(building.script, "true"));
  await world.admin.queue.updateQueueSettings({ maximumRunningJobs: 2 });
  await untilRuns(world.admin, id, "build");
  await world.admin.queue.pauseQueue({ reason: "handing over" });

  await world.server.close();
  await building.release();
  await until("the queue says why", async () => {
    const { items } = await admin.queue.listQueue({});
    return items.length === 6 && items.every((one) => one.waitsFor.includes("handing over") && one.position === 0);
  });
  const { settings } = await admin.queue.getQueueSettings({});
  await admin.queue.resumeQueue({});
  const ended = await untilRunEnded(admin, id);

  expect(settings).toMatchObject({ maximumRunningJobs: 2, queuedJobs: 6, pauses: [{ reason: "handing over" }] });
  expect(runStateName(ended)).toBe("SUCCEEDED");
  expect(once(await jobsOf(admin, id))).toEqual(Array.from({ length: 8 }, () => ["SUCCEEDED", 1, 1]));
});

test("a job whose runner is lost is tried again on another where its pipeline says so", async () => {
  await using world = await createWorld();
  const first = world.startRunner(await world.register("build-1"));
  await using meeting = await createMeeting();
  const settings = "lost_after: 1s, retries: { max: 1, on: [lost], backoff: 1s }";
  const { id } = await startRun(world.admin, `jobs: { a: { run: ${JSON.stringify(meeting.script)}, ${settings} } }`);
  await untilRuns(world.admin, id, "a");
  await until("its runner has it", async () => (await jobsOf(world.admin, id))["a"]!.runnerName === "build-1");

  await first.kill("SIGKILL");
  await meeting.release();
  const second = await world.register("build-2");
  world.startRunner(second);
  const ended = await untilRunEnded(world.admin, id);

  const { a } = await jobsOf(world.admin, id);
  expect(runStateName(ended)).toBe("SUCCEEDED");
  expect(a).toMatchObject({ try: 2, runnerName: "build-2" });
  expect(new Set(a!.workloadIds).size).toBe(2);
});

test("a job that its runner rejects is placed again on another, as the same try", async () => {
  await using world = await createWorld({ rejection_exclusion: "1h" });
  const refusing = await world.register("refusing");
  await using runner = await createProtocolRunner(world, refusing);
  const session = await runner.connect({ heartbeats: true });
  const { id } = await startRun(world.admin, "jobs:\n  a: { run: echo done }\n");
  const { workloadId, fence } = await session.next("place");

  session.say({ case: "rejected", value: { workloadId, fence, reason: "full" } });
  world.startRunner(await world.register("taking"));
  const ended = await untilRunEnded(world.admin, id);

  const { a } = await jobsOf(world.admin, id);
  expect(runStateName(ended)).toBe("SUCCEEDED");
  expect(a).toMatchObject({ try: 1, workloadIds: [workloadId], runnerName: "taking" });
});
