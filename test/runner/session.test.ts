import { expect, test } from "vitest";
import { Outcome } from "../../proto/gen/agyn/orchestrator/v1/workload_pb.ts";
import { eventually } from "./eventually.ts";
import { controlPlaneOfTest, runnerOfTest, simulated } from "./world.ts";

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
  expect(kinds).toEqual(["hello", "sessionConfirmed", "accepted", "progress", "progress", "completed"]);
  await eventually("the log's end", () => controlPlane.logs.get(place.workloadId)?.isEnded);
  expect(controlPlane.logs.get(place.workloadId)?.lines).toHaveLength(500);
  await eventually("a measurement", () => controlPlane.metrics.length > 0);
});
