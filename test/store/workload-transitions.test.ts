import { afterAll, expect, test } from "vitest";
import { acquireLeadership } from "../../server/src/store/leader.ts";
import type { WorkloadResult } from "../../server/src/domain/workload.ts";
import {
  startFailed,
  startWorkloads,
  type NewWorkload,
  type StartedWorkload,
} from "../../server/src/store/workload-starts.ts";
import {
  advanceWorkloads,
  endWorkloads,
  placeWorkloads,
  unplaceWorkloads,
  type Ending,
} from "../../server/src/store/workload-transitions.ts";
import { filterEnded, getWorkload, recordWaiting, requestStop } from "../../server/src/store/workloads.ts";
import { createId } from "../../wire/ids.ts";
import { createTestDatabase } from "../support/postgres.ts";
import { newWorkload } from "../support/workload-rows.ts";

const database = await createTestDatabase();
afterAll(() => database.drop());
const { sql } = database;

const writer = { replicaId: createId("replica"), storeEpoch: 1 };
const { epoch, fleetVersion } = (await acquireLeadership(sql, writer.replicaId, 600_000, true))!;

test("workloads of one batch that differ in anything keep what is their own", async () => {
  const alike = newWorkload({});
  const batch = [
    alike,
    newWorkload({ labels: { tier: "fast" } }),
    newWorkload({ spec: Buffer.of(255, 254) }),
    newWorkload({ runnerId: null, verdict: "busy" }),
    newWorkload({ lostAfter_ms: null, maximumTries: 3 }),
    { ...alike, id: createId("workload"), runnerId: "rnr_other" },
  ];

  const started = await start(batch);

  for (const { id, labels, spec, runnerId, verdict, maximumTries, lostAfter_ms } of batch) {
    const row = await getWorkload(sql, id);
    const lostAfter = lostAfter_ms === null ? null : BigInt(lostAfter_ms);
    expect(row).toMatchObject({ id, labels, runnerId, verdict, maximumTries, lostAfter_ms: lostAfter });
    expect(Buffer.from(row!.spec)).toEqual(Buffer.from(spec));
    expect(started.find((one) => one.id === id)).toMatchObject({ key: row!.key, fence: row!.fence, phase: row!.phase });
  }
});

test("what runners said of the ends of one batch comes back as they said it, also what they left out", async () => {
  const batch = [newWorkload({}), newWorkload({}), newWorkload({}), newWorkload({})];
  const fences = new Map((await start(batch)).map((one) => [one.id, one.fence]));
  const exited: WorkloadResult = {
    ...{ outcome: "exited", exitCode: 0, signal: "", message: "", memorySampled: true },
    ...{
      cpuTime_ms: 12,
      memoryPeak_bytes: 5_000_000_000,
      startTime_ms: 1_700_000_000_123,
      endTime_ms: 1_700_000_001_456,
    },
  };
  const results = [
    exited,
    { ...exited, cpuTime_ms: 13, outputs: { version: 'a "b" {c}, \\ NULL' } },
    { ...exited, outcome: "lost" as const, startTime_ms: null, endTime_ms: null },
    null,
  ];

  await endWorkloads(
    sql,
    writer,
    batch.map((one, place) => ending(one, fences, { phase: "succeeded", result: results[place]! })),
  );

  const rows = await Promise.all(batch.map(({ id }) => getWorkload(sql, id)));
  expect(rows.map((row) => row!.result)).toEqual(results);
  expect(rows[0]!.startTime).toEqual(new Date(exited.startTime_ms!));
});

test("a workload is found and placed by its key whichever fence it has: none yet, its first, or a later one", async () => {
  const [rejected, waiting] = [newWorkload({}), newWorkload({ runnerId: null })];
  const started = await start([rejected, waiting]);
  const [{ key, fence }, never] = [rejected, waiting].map(({ id }) => started.find((one) => one.id === id)!) as [
    StartedWorkload,
    StartedWorkload,
  ];
  const unplacement = { id: rejected.id, fence, runnerId: rejected.runnerId!, message: "no room", excludeFor_ms: 0 };
  await unplaceWorkloads(sql, writer, [unplacement]);
  await recordWaiting(sql, [{ key, verdict: "full", message: "no room" }], writer.replicaId);

  const picks = [key, never.key].map((one) => ({ key: one, runnerId: "rnr_next", isHere: true }));
  const placed = await placeWorkloads(sql, writer, { epoch, fleetVersion }, picks);

  expect(placed.map((one) => one.id).toSorted()).toEqual([rejected.id, waiting.id].toSorted());
  for (const { id, fence: later } of placed) {
    expect(later).toBeGreaterThan(never.key);
    const stopped = await requestStop(sql, id, { grace_ms: null, reason: "enough", writer: writer.replicaId });
    expect(stopped).toMatchObject({ id, fence: later, runnerId: "rnr_next", stopRequested: true });
    expect(await getWorkload(sql, id)).toEqual(stopped);
  }
});

test("of what is said to have ended, that is so which ended under its fence on its runner", async () => {
  const [done, live] = [newWorkload({}), newWorkload({})];
  const fences = new Map((await start([done, live])).map((one) => [one.id, one.fence]));
  await endWorkloads(sql, writer, [ending(done, fences, { phase: "succeeded" })]);
  const [said, early] = [done, live].map(({ id, runnerId }) => ({ id, fence: fences.get(id)!, runnerId: runnerId! }));
  const old = { ...said!, fence: said!.fence - 1n };
  const ofAnother = { ...said!, runnerId: "rnr_other" };

  expect([...(await filterEnded(sql, [old, said!, ofAnother, early!]))]).toEqual([said]);
});

test("endings of one batch that differ lead each to its own end, and only a failure that may is tried again", async () => {
  const retrying = { maximumTries: 2, retryOnFailed: true };
  const [done, failed, stopped] = [newWorkload(retrying), newWorkload(retrying), newWorkload(retrying)];
  const fences = new Map((await start([done, failed, stopped])).map((one) => [one.id, one.fence]));
  await requestStop(sql, stopped.id, { grace_ms: null, reason: "enough", writer: writer.replicaId });

  const ended = await endWorkloads(sql, writer, [
    ending(failed, fences, { phase: "failed", message: "exited with code 1" }),
    ending(done, fences, { phase: "succeeded" }),
    ending(stopped, fences, { phase: "failed", phaseIfStopped: "cancelled", messageIfStopped: "enough" }),
  ]);

  const rows = await Promise.all([done, failed, stopped].map(({ id }) => getWorkload(sql, id)));
  expect(rows.map((row) => [row!.phase, row!.message, row!.retriedBy !== null])).toEqual([
    ["succeeded", "", false],
    ["failed", "exited with code 1", true],
    ["cancelled", "enough", false],
  ]);
  const retry = await getWorkload(sql, rows[1]!.retriedBy!);
  expect(retry).toMatchObject({ phase: "pending", try: 2, retryOf: failed.id, fence: 0n, maximumTries: 2 });
  expect(ended.find((one) => one.id === failed.id)).toMatchObject({ retriedBy: retry!.id, runnerId: failed.runnerId });
});

test("a word with the fence of another workload of the same runner moves neither", async () => {
  const [mine, other] = [newWorkload({}), newWorkload({})];
  const [fence, otherFence] = (await start([mine, other])).map((one) => one.fence) as [bigint, bigint];
  const word = { runnerId: mine.runnerId!, phase: "running", time: new Date() } as const;

  const known = await advanceWorkloads(sql, writer, [
    { ...word, id: mine.id, fence: otherFence },
    { ...word, id: other.id, fence },
  ]);

  expect(known.size).toBe(0);
  expect((await getWorkload(sql, mine.id))!.phase).toBe("placed");
});

test("a workload that never was placed ends by the fence 0, once", async () => {
  const waiting = newWorkload({ runnerId: null });
  await start([waiting]);
  const fences = new Map([[waiting.id, 0n]]);
  const end = () => endWorkloads(sql, writer, [ending(waiting, fences, { phase: "cancelled", runnerId: null })]);

  expect(await end()).toEqual([{ id: waiting.id, fence: 0n, phase: "cancelled", runnerId: null, retriedBy: null }]);
  expect(await end()).toEqual([]);
});

test("a workload that no runner ever could take is recorded in its end, and one that is there stays", async () => {
  const workload = newWorkload({ runnerId: null, verdict: "never", message: "no runner has a gpu" });
  await startFailed(sql, writer, workload);
  await startFailed(sql, writer, { ...workload, message: "another" });

  const row = await getWorkload(sql, workload.id);
  expect(row).toMatchObject({ phase: "failed", verdict: "never", message: "no runner has a gpu", fence: 0n });
  expect(row!.endTime).toEqual(row!.createTime);
});

function start(workloads: readonly NewWorkload[]) {
  return startWorkloads(sql, writer, { epoch, fleetVersion }, workloads);
}

function ending({ id, runnerId }: NewWorkload, fences: Map<string, bigint>, terms: Partial<Ending>): Ending {
  const phase = terms.phase ?? "failed";
  const usual = { phase, message: "", phaseIfStopped: phase, messageIfStopped: "" };
  return { id, fence: fences.get(id)!, runnerId, ...usual, result: null, mayRetry: true, ...terms };
}
