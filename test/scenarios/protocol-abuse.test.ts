import { expect, test } from "vitest";
import { create } from "@bufbuild/protobuf";
import { DemandSchema, Operator } from "../../proto/gen/agyn/orchestrator/v1/demand_pb.ts";
import { Outcome, WorkloadPhase, WorkloadResultSchema } from "../../proto/gen/agyn/orchestrator/v1/workload_pb.ts";
import { chunkOf, createProtocolRunner, exited, running } from "../support/protocol-runner.ts";
import { createWorld, readWholeLog, script, until, untilEnded, type World } from "../support/world.ts";

/** A world with two runners written by hand; a job is placed on the victim, the other is left. */
async function twoRunners(world: World) {
  const victim = await createProtocolRunner(world, await world.register("victim", { labels: { role: "victim" } }));
  const other = await createProtocolRunner(world, await world.register("other"));
  const victimSession = await victim.connect();
  const otherSession = await other.connect();
  const onVictim = create(DemandSchema, {
    requirements: [{ key: "role", operator: Operator.IN, values: ["victim"] }],
  });
  const { workload } = await world.admin.orchestrator.startWorkload({ spec: script("true"), demand: onVictim });
  const { workloadId, fence } = await victimSession.next("place");
  return { victim: victimSession, other: otherSession, workload: workload!, of: { workloadId, fence } };
}

const phaseOf = async (world: World, workload: string) =>
  (await world.admin.orchestrator.getWorkload({ workload })).workload!.phase;

test("I5, bad-11: what a runner says of another runner's workload changes nothing, and holds nobody up", async () => {
  await using world = await createWorld();
  const { victim, other, workload, of } = await twoRunners(world);

  other.say({ case: "accepted", value: of }, running(of), exited(of, 7));
  other.say({ case: "rejected", value: { ...of, reason: "not yours" } });
  const positions = await other.push({ chunks: [chunkOf(of, 0, "forged")] });
  await other.next("forget");
  expect(await phaseOf(world, workload.id)).toBe(WorkloadPhase.PLACED);
  expect(positions).toMatchObject([{ refused: "STALE_FENCE" }]);

  victim.say(exited(of, 0));
  for (let again = 0; again < 20; again += 1) other.say(exited(of, 7), running(of));
  await victim.next("completionAcknowledged");
  expect((await untilEnded(world.admin, workload.id)).result?.exitCode).toBe(0);
});

test("bad-12: a stale fence moves nothing and ends nothing", async () => {
  await using world = await createWorld();
  const { victim, workload, of } = await twoRunners(world);
  const stale = { ...of, fence: of.fence - 1n };

  victim.say(running(stale), exited(stale, 9), { case: "rejected", value: { ...stale, reason: "old" } });
  expect(await victim.next("forget")).toMatchObject({ fence: stale.fence });
  expect(await phaseOf(world, workload.id)).toBe(WorkloadPhase.PLACED);
  expect(await victim.push({ chunks: [chunkOf(stale, 0, "old")] })).toMatchObject([{ refused: "STALE_FENCE" }]);

  victim.say(exited(of, 4), exited(stale, 9));
  await victim.next("completionAcknowledged");
  expect((await untilEnded(world.admin, workload.id)).result?.exitCode).toBe(4);
});

test("bad-13: log lines that come twice, out of order, with a gap or from nowhere end up once and in order", async () => {
  await using world = await createWorld();
  const { victim, workload, of } = await twoRunners(world);

  expect(await victim.push({ chunks: [chunkOf(of, 0, "a", "b")] })).toMatchObject([{ nextLine: 2n }]);
  expect(await victim.push({ chunks: [chunkOf(of, 0, "a", "b")] })).toMatchObject([{ nextLine: 2n }]);
  expect(await victim.push({ chunks: [chunkOf(of, 9, "far")] })).toMatchObject([{ nextLine: 2n }]);
  expect(await victim.push({ chunks: [chunkOf(of, 2, "c")] })).toMatchObject([{ nextLine: 3n }]);
  const lying = { ...chunkOf(of, 3, "d"), count: 2n };
  expect(await victim.push({ chunks: [lying] })).toMatchObject([{ refused: "INVALID_ARGUMENT" }]);
  expect(await victim.push({ ends: [{ ...of, lineCount: 99n }] })).toMatchObject([{ nextLine: 3n, ended: false }]);
  expect(await victim.push({ ends: [{ ...of, lineCount: 3n }] })).toMatchObject([{ ended: true }]);

  expect(await readWholeLog(world.admin, workload.id)).toEqual(["a", "b", "c"]);
});

test("bad-13: numbers that no log has are refused, and the field is named", async () => {
  await using world = await createWorld();
  const { victim, of } = await twoRunners(world);
  const lies = {
    first_line: [{ firstLine: -1n }, { firstLine: 2n ** 63n - 1n }],
    count: [{ count: -5n }, { count: 0n }],
    fence: [{ fence: 0n }, { fence: -1n }],
    size: [{ size: 2 ** 31 - 1 }, { size: -1 }],
  };

  for (const [field, values] of Object.entries(lies)) {
    for (const lie of values) {
      const refused = victim.push({ chunks: [{ ...chunkOf(of, 0, "x"), ...lie }] });
      await expect(refused).rejects.toThrow(new RegExp(`chunks\\[0\\].${field}`));
    }
  }
});

test("bad-13: heartbeats that repeat, jump and go back keep the session; a negative one ends that session alone", async () => {
  await using world = await createWorld();
  const { victim, other } = await twoRunners(world);

  for (const sequence of [5n, 5n, 2n ** 62n, 1n]) {
    victim.say({ case: "heartbeat", value: { sequence } });
    await victim.next("heartbeatAcknowledged");
  }
  other.say({ case: "heartbeat", value: { sequence: -1n } });

  expect(await other.next("disconnect")).toMatchObject({ message: expect.stringContaining("sequence") });
  victim.say({ case: "heartbeat", value: { sequence: 77n } });
  await until("the 77th is answered", () =>
    victim.heard.some((one) => one.case === "heartbeatAcknowledged" && one.value.sequence === 77n),
  );
});

test("bad-13: times and amounts beyond all bounds spoil neither the record nor the batch of others", async () => {
  await using world = await createWorld();
  const { victim, other, workload, of } = await twoRunners(world);

  victim.say({ case: "progress", value: { ...of, phase: 4, time: { seconds: 2n ** 62n, nanos: 0 } } });
  await until("it runs", async () => (await phaseOf(world, workload.id)) === WorkloadPhase.RUNNING);
  const beyond = { seconds: 8_000_000_000_000n, nanos: 0 };
  const result = create(WorkloadResultSchema, {
    outcome: Outcome.EXITED,
    memoryPeakBytes: 2n ** 63n - 1n,
    startTime: beyond,
    endTime: { seconds: -beyond.seconds },
  });
  victim.say({ case: "completed", value: { ...of, result } });

  await victim.next("completionAcknowledged");
  expect((await untilEnded(world.admin, workload.id)).phase).toBe(WorkloadPhase.SUCCEEDED);
  const before = other.heard.length;
  await until("the other session lives on", () => other.heard.length > before);
});

test("bad-14: a completion before the start counts; what comes after it changes nothing", async () => {
  await using world = await createWorld();
  const { victim, workload, of } = await twoRunners(world);

  victim.say(exited(of, 3));
  await victim.next("completionAcknowledged");
  victim.say(exited(of, 0), running(of));
  await victim.next("completionAcknowledged");
  await world.admin.orchestrator.stopWorkload({ workload: workload.id });

  const { workload: ended } = await world.admin.orchestrator.getWorkload({ workload: workload.id });
  expect(ended).toMatchObject({ phase: WorkloadPhase.FAILED, result: { exitCode: 3 }, stopRequested: false });
});

test("progress that comes in the wrong order never goes back", async () => {
  await using world = await createWorld();
  const { victim, workload, of } = await twoRunners(world);

  victim.say(running(of), { case: "accepted", value: of });
  await until("it runs", async () => (await phaseOf(world, workload.id)) === WorkloadPhase.RUNNING);
  victim.say({ case: "accepted", value: of });
  victim.say(exited(of));

  expect(await untilEnded(world.admin, workload.id)).toMatchObject({ phase: WorkloadPhase.SUCCEEDED });
});
