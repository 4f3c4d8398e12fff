import { pino } from "pino";
import { expect, test } from "vitest";
import { Outcome, WorkloadPhase } from "../../proto/gen/agyn/orchestrator/v1/workload_pb.ts";
import { toDuration } from "../../runner/src/wire-time.ts";
import { eventually } from "./eventually.ts";
import { controlPlaneOfTest, runnerOfTest, simulated } from "./world.ts";

const after = (ms: number) => ({ kind: { case: "after" as const, value: toDuration(ms) } });

test("a runner whose stream ended dials again and says what it still holds", async () => {
  const controlPlane = await controlPlaneOfTest();
  await runnerOfTest(controlPlane);
  const first = await controlPlane.session(1);
  const place = simulated({ durationMs: 60_000, lines: 0 });
  first.place(place);
  await first.next("accepted", place.workloadId);

  first.end();

  const hello = await (await controlPlane.session(2)).hello;
  expect(hello.lastSessionNumber).toBe(1n);
  expect(hello.held).toMatchObject([{ workloadId: place.workloadId, fence: 1n, phase: WorkloadPhase.RUNNING }]);
});

test("a result is said again in each session until it is acknowledged", async () => {
  const controlPlane = await controlPlaneOfTest();
  const runner = await runnerOfTest(controlPlane);
  const first = await controlPlane.session(1);
  first.acknowledgesCompletions = false;
  const place = simulated({ exitCode: 4 });
  first.place(place);
  await first.next("completed", place.workloadId);

  first.end();

  const second = await controlPlane.session(2);
  expect((await second.hello).held).toMatchObject([{ phase: WorkloadPhase.FAILED, result: { exitCode: 4 } }]);
  await second.next("completed", place.workloadId);
  runner.stop(1000);
  await runner.done;
});

test("bad-15: a connection on which nothing is acknowledged for a lease is left for a new one", async () => {
  const controlPlane = await controlPlaneOfTest();
  await runnerOfTest(controlPlane);
  const first = await controlPlane.session(1, { heartbeatMs: 50, leaseMs: 300 });

  first.acknowledgesHeartbeats = false;

  expect((await (await controlPlane.session(2)).hello).lastSessionNumber).toBe(1n);
});

test("a workload that is retried when lost is stopped without contact, and one that is not goes on", async () => {
  const controlPlane = await controlPlaneOfTest();
  const logged: string[] = [];
  await runnerOfTest(controlPlane, {
    log: pino({ level: "warn" }, { write: (line: string) => void logged.push(line) }),
  });
  const terms = { heartbeatMs: 50, leaseMs: 500, lossMarginMs: 100 };
  const first = await controlPlane.session(1, terms);
  const retried = { ...simulated({ durationMs: 60_000 }), retriedWhenLost: true, loss: after(2000) };
  const kept = { ...simulated({ durationMs: 60_000 }), loss: after(2000) };
  for (const place of [retried, kept]) first.place(place);
  await first.next("accepted", kept.workloadId);

  first.acknowledgesHeartbeats = false;
  const second = await eventually("a second session", () => controlPlane.sessions[1]);
  await eventually("the runner's own stop", () => logged.some((line) => line.includes("stopped without contact")));
  second.welcome({ ...terms, sessionNumber: 2n });

  expect((await second.next("completed", retried.workloadId)).result?.outcome).toBe(Outcome.LOST);
  expect(second.all("completed")).toHaveLength(1);
});

test("the log goes on where the control plane says after a new session", async () => {
  const controlPlane = await controlPlaneOfTest();
  await runnerOfTest(controlPlane);
  const first = await controlPlane.session(1);
  first.acknowledgesCompletions = false;
  const place = simulated({ durationMs: 1500, lines: 3000 });
  first.place(place);
  await eventually("some lines", () => (controlPlane.logs.get(place.workloadId)?.lines.length ?? 0) > 100);

  first.end();

  const second = await controlPlane.session(2);
  await second.next("completed", place.workloadId);
  const log = await eventually("the log's end", () => {
    const arrived = controlPlane.logs.get(place.workloadId);
    return arrived?.isEnded === true && arrived;
  });
  expect(log.lines.map((line) => Number(line.split(" ")[1]))).toEqual(
    Array.from({ length: 3000 }, (_, index) => index),
  );
});
