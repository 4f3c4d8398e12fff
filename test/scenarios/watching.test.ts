import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { SimulationSchema, WorkloadPhase } from "../../proto/gen/agyn/orchestrator/v1/workload_pb.ts";
import { createProtocolRunner } from "../support/protocol-runner.ts";
import { createWorld, until, type World } from "../support/world.ts";

const spec = { command: { case: "simulation" as const, value: create(SimulationSchema) } };
const start = async (world: World) => (await world.admin.orchestrator.startWorkload({ spec })).workload!.id;

/** Watches until it is told to stop; answers what was seen, and the last bookmark. */
function watchWorkloads(world: World, bookmark = "") {
  const ending = new AbortController();
  const seen = new Map<string, WorkloadPhase>();
  const state = { seen, bookmark, complete: false, end: () => ending.abort() };
  const done = (async () => {
    try {
      for await (const step of world.admin.orchestrator.watchWorkloads({ bookmark }, { signal: ending.signal })) {
        for (const one of step.workloads) seen.set(one.id, one.phase);
        if (step.bookmark !== "") state.bookmark = step.bookmark;
        state.complete ||= step.snapshotComplete;
      }
    } catch (error) {
      if (!ending.signal.aborted) throw error;
    }
  })();
  return Object.assign(state, { done });
}

test("a watch shows what is there, then each change, up to the terminal phase", async () => {
  await using world = await createWorld();
  await world.register("build-1");
  const before = await start(world);

  const watched = watchWorkloads(world);
  await until("the snapshot is complete", () => watched.complete);
  expect([...watched.seen]).toEqual([[before, WorkloadPhase.PENDING]]);
  const after = await start(world);
  await until("the new one is seen", () => watched.seen.has(after));
  await world.admin.orchestrator.stopWorkload({ workload: after });

  await until("its end is seen", () => watched.seen.get(after) === WorkloadPhase.CANCELLED);
  watched.end();
  await watched.done;
});

test("watches that break off again and again and go on from their bookmarks miss nothing of concurrent writers", async () => {
  await using world = await createWorld({ loop_period: "20ms" });
  await world.register("build-1");
  const written: string[] = [];
  const writers = Array.from({ length: 4 }, async () => {
    for (let count = 0; count < 15; count += 1) written.push(await start(world));
  });
  const seen = new Set<string>();
  let bookmark = "";
  const isDone = () => written.length === 60 && written.every((id) => seen.has(id));

  const deadline = Date.now() + 40_000;
  while (!isDone() && Date.now() < deadline) {
    const watched = watchWorkloads(world, bookmark);
    const size = seen.size;
    await until("something is seen", () => watched.seen.size > 0 || seen.size === 60 || watched.bookmark !== bookmark);
    watched.end();
    await watched.done;
    for (const id of watched.seen.keys()) seen.add(id);
    bookmark = watched.bookmark;
    if (seen.size === size && written.length === 60 && isDone()) break;
  }

  await Promise.all(writers);
  expect(written.filter((id) => !seen.has(id))).toEqual([]);
});

test("a bookmark of another store is CURSOR_EXPIRED, and one that no watch gave is refused", async () => {
  await using world = await createWorld();
  const first = async (bookmark: string) => {
    for await (const step of world.admin.orchestrator.watchWorkloads({ bookmark })) return step;
    return undefined;
  };

  await expect(first("e9.100")).rejects.toThrow(/too old/);
  await expect(first("e1.999999999999")).rejects.toThrow(/too old/);
  await expect(first("nonsense")).rejects.toThrow(/not one that a watch gave/);
});

test("a watch of runners shows the snapshot, a newcomer, and that it is there", async () => {
  await using world = await createWorld();
  await world.register("old");
  const statuses = new Map<string, number>();
  const ending = new AbortController();
  const watched = (async () => {
    for await (const { runners } of world.admin.runners.watchRunners({}, { signal: ending.signal }))
      for (const one of runners) statuses.set(one.name, one.status);
  })().catch(() => undefined);
  await until("the snapshot has come", () => statuses.has("old"));

  const registered = await world.register("new");
  await until("the newcomer is seen", () => statuses.has("new"));
  await using runner = await createProtocolRunner(world, registered);
  await runner.connect();

  await until("it is seen as enrolled", () => statuses.get("new") === 2);
  ending.abort();
  await watched;
});

test("a watch of runners shows who becomes busy and idle, and so does one that goes on from a bookmark", async () => {
  await using world = await createWorld();
  const registered = await world.register("build-1", {});
  await using runner = await createProtocolRunner(world, registered);
  const session = await runner.connect();
  const ending = new AbortController();
  const busy: boolean[] = [];
  let bookmark = "";
  const watched = (async () => {
    for await (const step of world.admin.runners.watchRunners({}, { signal: ending.signal })) {
      bookmark = step.bookmark;
      for (const one of step.runners) if (one.busy !== busy.at(-1)) busy.push(one.busy);
    }
  })().catch(() => undefined);
  await until("the snapshot is there", () => bookmark !== "");

  const workload = await start(world);
  const { fence } = await session.next("place");
  await until("it is seen as busy", () => busy.at(-1) === true);
  const whileBusy = await until("a bookmark was given", () => bookmark);
  session.say({ case: "completed", value: { workloadId: workload, fence, result: { outcome: 1 } } });
  await until("it is seen as idle", () => busy.at(-1) === false);

  ending.abort();
  await watched;
  expect(busy).toEqual([false, true, false]);
  for await (const { runners } of world.admin.runners.watchRunners({ bookmark: whileBusy })) {
    expect(runners.map((one) => [one.id, one.busy])).toEqual([[registered.id, false]]);
    break;
  }
});
