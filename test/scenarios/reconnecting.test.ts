import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";
import type { FollowLogResponse } from "../../proto/gen/agyn/logs/v1/logs_service_pb.ts";
import { HeldWorkloadSchema } from "../../proto/gen/agyn/orchestrator/v1/placements_pb.ts";
import {
  LossPolicySchema,
  Outcome,
  RetryPolicySchema,
  WorkloadPhase,
  WorkloadResultSchema,
} from "../../proto/gen/agyn/orchestrator/v1/workload_pb.ts";
import { chunkOf, createProtocolRunner, exited, running } from "../support/protocol-runner.ts";
import { createWorld, script, until, untilEnded, type World } from "../support/world.ts";

const get = async (world: World, workload: string) =>
  (await world.admin.orchestrator.getWorkload({ workload })).workload!;
const retried = {
  retry: create(RetryPolicySchema, { maximumTries: 2, onLost: true }),
  loss: create(LossPolicySchema, { kind: { case: "after", value: durationFromMs(1500) } }),
};

const textOf = ({ value }: IteratorResult<FollowLogResponse>) =>
  (value as FollowLogResponse).lines.map(({ content }) => Buffer.from(content).toString());

test("a placement that never reached its runner is offered to it again at once, under a higher fence", async () => {
  await using world = await createWorld({ lease: "60s", rejection_exclusion: "60s" });
  await using runner = await createProtocolRunner(world, await world.register("build-1"));
  const first = await runner.connect();
  const { workload } = await world.admin.orchestrator.startWorkload({ spec: script("true") });
  const lost = await first.next("place");
  first.close();

  const second = await runner.connect();
  const again = await second.next("place");

  expect(again.workloadId).toBe(workload!.id);
  expect(again.fence).toBeGreaterThan(lost.fence);
  second.say(exited(lost, 9), exited(again, 0));
  expect((await untilEnded(world.admin, workload!.id)).result?.exitCode).toBe(0);
  expect(second.heard.filter((one) => one.case === "place")).toHaveLength(1);
});

test("who follows the log of a placement that came to nothing goes on with the next one's, to its end", async () => {
  await using world = await createWorld({ lease: "60s", rejection_exclusion: "60s" });
  await using runner = await createProtocolRunner(world, await world.register("build-1"));
  const first = await runner.connect();
  const { workload } = await world.admin.orchestrator.startWorkload({ spec: script("true") });
  const lost = await first.next("place");
  await first.push({ chunks: [chunkOf(lost, 0, "of the first")] });
  const followed = world.admin.logs.followLog({ workload: workload!.id })[Symbol.asyncIterator]();
  expect(textOf(await followed.next())).toEqual(["of the first"]);
  first.close();

  const second = await runner.connect();
  const again = await second.next("place");
  const { workloadId, fence } = again;
  await second.push({ chunks: [chunkOf(again, 0, "of the second")], ends: [{ workloadId, fence, lineCount: 1n }] });
  second.say(exited(again, 0));

  expect(textOf(await followed.next())).toEqual(["of the second"]);
  expect(await followed.next()).toMatchObject({ done: true });
});

test("what a reconnecting runner holds goes on under its fence, and what it ended meanwhile is taken", async () => {
  await using world = await createWorld({ lease: "60s" });
  await using runner = await createProtocolRunner(world, await world.register("build-1"));
  const first = await runner.connect();
  const jobs = [1, 2].map(() => world.admin.orchestrator.startWorkload({ spec: script("true") }));
  const [one, two] = (await Promise.all(jobs)).map(({ workload }) => workload!.id);
  const places = [await first.next("place"), await first.next("place")];
  first.say(...places.map((place) => running(place)));
  await until("both run", async () => (await get(world, two!)).phase === WorkloadPhase.RUNNING);
  first.close();

  const held = places.map(({ workloadId, fence }) =>
    create(HeldWorkloadSchema, { workloadId, fence, phase: WorkloadPhase.RUNNING }),
  );
  const ended = {
    ...held[1]!,
    phase: WorkloadPhase.FAILED,
    result: create(WorkloadResultSchema, { outcome: Outcome.EXITED, exitCode: 5 }),
  };
  const second = await runner.connect({ hello: { held: [held[0]!, ended] } });
  await second.next("completionAcknowledged");

  expect(await get(world, ended.workloadId)).toMatchObject({ phase: WorkloadPhase.FAILED, result: { exitCode: 5 } });
  const other = [one, two].find((id) => id !== ended.workloadId)!;
  expect(await get(world, other)).toMatchObject({ phase: WorkloadPhase.RUNNING, fence: held[0]!.fence });
  expect(second.heard.filter(({ case: kind }) => kind === "place")).toEqual([]);
});

test("a started workload that its runner no longer knows is lost at once, and tried again", async () => {
  await using world = await createWorld({ lease: "60s" });
  await using runner = await createProtocolRunner(world, await world.register("build-1"));
  const first = await runner.connect();
  const start = { spec: script("true"), ...retried };
  const { workload } = await world.admin.orchestrator.startWorkload(start);
  const place = await first.next("place");
  first.say(running(place));
  await until("it runs", async () => (await get(world, workload!.id)).phase === WorkloadPhase.RUNNING);
  first.close();

  const second = await runner.connect();
  const retry = await second.next("place");

  const lost = await get(world, workload!.id);
  expect(lost).toMatchObject({ phase: WorkloadPhase.LOST, retriedBy: retry.workloadId, try: 1 });
  expect(await get(world, retry.workloadId)).toMatchObject({ retryOf: workload!.id, try: 2 });
  expect(retry.fence).toBeGreaterThan(place.fence);
});

test("a runner that says goodbye while it holds a workload leaves it out of reach, and it is lost in its time", async () => {
  await using world = await createWorld();
  await using runner = await createProtocolRunner(world, await world.register("build-1"));
  const session = await runner.connect();
  const { workload } = await world.admin.orchestrator.startWorkload({ spec: script("true"), loss: retried.loss });
  const place = await session.next("place");
  session.say(running(place), { case: "leaving", value: { reason: "for good" } });
  session.close();

  await until("it is out of reach", async () => (await get(world, workload!.id)).unreachableSince !== undefined);

  expect(await untilEnded(world.admin, workload!.id)).toMatchObject({ phase: WorkloadPhase.LOST, retriedBy: "" });
});

test("bad-12: a completion of the first try, after the second has begun, changes neither", async () => {
  await using world = await createWorld();
  await using runner = await createProtocolRunner(world, await world.register("build-1"));
  const first = await runner.connect({ heartbeats: false });
  const { workload } = await world.admin.orchestrator.startWorkload({ spec: script("true"), ...retried });
  const place = await first.next("place");
  first.say(running(place));
  expect(await untilEnded(world.admin, workload!.id)).toMatchObject({ phase: WorkloadPhase.LOST });
  first.close();

  const { workloadId, fence } = place;
  const held = create(HeldWorkloadSchema, { workloadId, fence, phase: WorkloadPhase.RUNNING });
  const second = await runner.connect({ hello: { held: [held] } });
  const retry = await second.next("place");
  expect(await second.next("forget")).toMatchObject({ workloadId: place.workloadId, fence: place.fence });
  second.say(exited(place, 0));
  await second.next("completionAcknowledged");

  expect(await get(world, workload!.id)).toMatchObject({ phase: WorkloadPhase.LOST, retriedBy: retry.workloadId });
  expect(await get(world, retry.workloadId)).toMatchObject({ phase: WorkloadPhase.PLACED, fence: retry.fence });
});

test("an operator who knows better declares a workload lost at once, and only where its runner is out of reach", async () => {
  await using world = await createWorld({ heartbeat: "200ms", lease: "600ms" });
  await using runner = await createProtocolRunner(world, await world.register("build-1"));
  const session = await runner.connect();
  const { workload } = await world.admin.orchestrator.startWorkload({ spec: script("true") });
  session.say(running(await session.next("place")));
  const force = () => world.admin.orchestrator.stopWorkload({ workload: workload!.id, force: true });
  await expect(force()).rejects.toThrow(/its runner is in reach/);

  session.close();
  await until("it is out of reach", async () => (await get(world, workload!.id)).unreachableSince !== undefined);
  const { workload: lost } = await force();

  expect(lost).toMatchObject({ phase: WorkloadPhase.LOST, message: "declared lost by an operator" });
});
