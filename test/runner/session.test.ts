import { readdirSync, readFileSync } from "node:fs";
import { create } from "@bufbuild/protobuf";
import { expect, onTestFinished, test, vi } from "vitest";
import { DrainSchema, ForgetSchema, StopSchema } from "../../proto/gen/agyn/orchestrator/v1/placements_pb.ts";
import { Outcome } from "../../proto/gen/agyn/orchestrator/v1/workload_pb.ts";
import { canIsolate } from "../../runner/src/executors/isolation.ts";
import { eventually } from "./eventually.ts";
import { controlPlaneOfTest, runnerOfTest, simulated, temporaryDirectory } from "./world.ts";

const hasNamespaces = await canIsolate("namespace");

test("a runner enrolls, says hello, confirms the session number and keeps beating", async () => {
  const controlPlane = await controlPlaneOfTest();
  await runnerOfTest(controlPlane);

  const session = await controlPlane.session(1, { heartbeatMs: 60 });

  const hello = await session.hello;
  expect(hello).toMatchObject({ protocolVersion: 1, lastSessionNumber: 0n, capacity: { slots: 4 }, held: [] });
  expect(await session.next("sessionConfirmed")).toMatchObject({ sessionNumber: 1n });
  await eventually("three heartbeats", () => session.all("heartbeat").length >= 3);
  expect(session.all("heartbeat").map(({ sequence }) => sequence)).toEqual(
    session.all("heartbeat").map((_, index) => BigInt(index + 1)),
  );
});

test("a simulated workload is accepted, runs and completes, and its log arrives whole", async () => {
  const controlPlane = await controlPlaneOfTest();
  await runnerOfTest(controlPlane);
  const session = await controlPlane.session(1);
  const place = simulated({ durationMs: 50, exitCode: 3, lines: 500 });

  session.place(place);

  const { result } = await session.next("completed", place.workloadId);
  expect(result).toMatchObject({ outcome: Outcome.EXITED, exitCode: 3 });
  const kinds = session.received.map((kind) => kind.case).filter((kind) => kind !== "heartbeat");
  expect(kinds).toEqual(["hello", "sessionConfirmed", "accepted", "progress", "completed"]);
  await eventually("the log's end", () => controlPlane.logs.get(place.workloadId)?.isEnded);
  expect(controlPlane.logs.get(place.workloadId)?.lines).toHaveLength(500);
  await eventually("a measurement", () => controlPlane.metrics.length > 0);
});

test("a placement beyond the capacity is rejected with the numbers, and one of an unknown executor by its name", async () => {
  const controlPlane = await controlPlaneOfTest();
  await runnerOfTest(controlPlane, { capacity: { slots: 1 } });
  const session = await controlPlane.session(1);
  const long = simulated({ durationMs: 60_000 });
  const [second, unknown, asked] = [
    simulated({}),
    { ...simulated({}), executor: "abacus" },
    simulated({ rejectReason: "no" }),
  ];

  session.place(long);
  session.place(second);
  session.place({ ...unknown, resources: {} });
  session.place({ ...asked, resources: {} });

  expect((await session.next("rejected", second.workloadId)).reason).toBe("this runner has 0 of 1 slots free, not 1");
  expect((await session.next("rejected", unknown.workloadId)).reason).toBe('this runner has no executor "abacus"');
  expect((await session.next("rejected", asked.workloadId)).reason).toBe("no");
});

test("bad-13: a placement said twice is accepted twice and runs once; one of an older fence is ignored", async () => {
  const controlPlane = await controlPlaneOfTest();
  await runnerOfTest(controlPlane);
  const session = await controlPlane.session(1);
  const place = { ...simulated({ durationMs: 100 }), fence: 5n };

  session.place(place);
  session.place({ ...place, fence: 4n });
  await session.next("accepted", place.workloadId);
  session.place(place);
  await session.next("completed", place.workloadId);

  expect(session.all("accepted").map(({ fence }) => fence)).toEqual([5n, 5n]);
  expect(session.all("progress").map(({ fence }) => fence)).toEqual([5n]);
  expect(session.all("rejected")).toEqual([]);
});

test("a workload that is stopped ends as stopped, and one that is forgotten is never heard of again", async () => {
  const controlPlane = await controlPlaneOfTest();
  const runner = await runnerOfTest(controlPlane);
  const session = await controlPlane.session(1);
  const [stopped, forgotten] = [simulated({ durationMs: 60_000 }), simulated({ durationMs: 60_000 })];
  for (const place of [stopped, forgotten]) {
    session.place(place);
    await session.next("accepted", place.workloadId);
  }

  session.say({ case: "forget", value: create(ForgetSchema, { workloadId: forgotten.workloadId, fence: 1n }) });
  session.say({
    case: "stop",
    value: create(StopSchema, { workloadId: stopped.workloadId, fence: 1n, reason: "asked" }),
  });

  const { result } = await session.next("completed", stopped.workloadId);
  expect(result?.outcome).toBe(Outcome.STOPPED);
  runner.stop(1000);
  await runner.done;
  expect(session.all("completed").map(({ workloadId }) => workloadId)).toEqual([stopped.workloadId]);
});

test("a stopped runner waits, ends the rest as stopped with the runner, and says goodbye", async () => {
  const controlPlane = await controlPlaneOfTest();
  const runner = await runnerOfTest(controlPlane);
  const session = await controlPlane.session(1);
  const [short, long] = [simulated({ durationMs: 50 }), simulated({ durationMs: 60_000 })];
  for (const place of [short, long]) session.place(place);
  await session.next("accepted", long.workloadId);

  runner.stop(1000);
  session.place(simulated({}));
  await runner.done;

  expect((await session.next("completed", short.workloadId)).result?.outcome).toBe(Outcome.EXITED);
  expect((await session.next("completed", long.workloadId)).result?.outcome).toBe(Outcome.RUNNER_STOPPED);
  expect((await session.next("rejected")).reason).toBe("this runner is stopping");
  expect(session.received.at(-1)?.case).toBe("leaving");
});

test("I14: what only a newer control plane says is passed over, and the session goes on", async () => {
  const controlPlane = await controlPlaneOfTest();
  await runnerOfTest(controlPlane);
  const session = await controlPlane.session(1);
  const place = simulated({ exitCode: 3 });

  session.sayUnknown();
  session.place(place);

  expect((await session.next("completed", place.workloadId)).result?.exitCode).toBe(3);
  expect(session.isOver).toBe(false);
});

test("a drained runner finishes what it has and leaves", async () => {
  const controlPlane = await controlPlaneOfTest();
  const runner = await runnerOfTest(controlPlane);
  const session = await controlPlane.session(1);
  const place = simulated({ durationMs: 200, lines: 3 });
  session.place(place);
  await session.next("accepted", place.workloadId);

  session.say({ case: "drain", value: create(DrainSchema) });
  await runner.done;

  expect((await session.next("completed", place.workloadId)).result?.outcome).toBe(Outcome.EXITED);
  expect(controlPlane.logs.get(place.workloadId)?.isEnded).toBe(true);
  expect(session.received.at(-1)?.case).toBe("leaving");
});

test("an ephemeral runner leaves nothing behind, neither a directory nor a job", async () => {
  const controlPlane = await controlPlaneOfTest();
  const directory = temporaryDirectory();
  vi.stubEnv("TMPDIR", directory);
  onTestFinished(() => void vi.unstubAllEnvs());
  const runner = await runnerOfTest(controlPlane, {
    isEphemeral: true,
    dataDirectory: undefined,
    executors: ["process"],
  });
  const session = await controlPlane.session(1);
  const marker = `3600.${process.pid}`;
  const command = { case: "argv" as const, value: { arguments: ["sleep", marker] } };
  session.place({ ...simulated({}), executor: "process", spec: { command } });
  await eventually("the job", () => isRunning(marker));

  runner.abandon();
  await runner.done;

  expect(readdirSync(directory)).toEqual([]);
  await eventually("the end of the job", () => !isRunning(marker));
});

function isRunning(argument: string): boolean {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .some((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, "latin1") === `sleep\0${argument}\0`;
      } catch {
        return false;
      }
    });
}

test.skipIf(!hasNamespaces)("the first job of a new runner that hides its directories from jobs starts", async () => {
  const controlPlane = await controlPlaneOfTest();
  const dataDirectory = temporaryDirectory();
  await runnerOfTest(controlPlane, { dataDirectory, executors: ["process"], isolation: "namespace" });
  const session = await controlPlane.session(1);
  const command = { case: "argv" as const, value: { arguments: ["ls", dataDirectory] } };
  const place = { ...simulated({}), executor: "process", spec: { command } };

  session.place(place);

  const { result } = await session.next("completed", place.workloadId);
  expect(result).toMatchObject({ outcome: Outcome.EXITED, exitCode: 0 });
});
