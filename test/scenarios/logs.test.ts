import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { LogStream } from "../../proto/gen/agyn/logs/v1/logs_service_pb.ts";
import { SimulationSchema, WorkloadPhase } from "../../proto/gen/agyn/orchestrator/v1/workload_pb.ts";
import { createMeeting } from "../support/meeting.ts";
import { createWorld, readWholeLog, script, until, untilEnded, type World } from "../support/world.ts";

const run = async (world: World, text: string) => {
  const { workload } = await world.admin.orchestrator.startWorkload({ spec: script(text) });
  return workload!.id;
};
const rawLines = async (world: World, workload: string) => {
  const lines = [];
  for await (const message of world.admin.logs.followLog({ workload })) lines.push(...message.lines);
  return lines;
};

test("10 MB of output in a burst arrive whole and in order", async () => {
  await using world = await createWorld();
  world.startRunner(await world.register("build-1"));
  const fill = "y".repeat(93);
  const id = await run(world, `seq -f '%06.0f ${fill}' 0 99999`);

  const log = await readWholeLog(world.admin, id);

  expect(log).toHaveLength(100_000);
  expect(log.findIndex((line, number) => line !== `${String(number).padStart(6, "0")} ${fill}`)).toBe(-1);
});

test("bad-39: one line of 8 MB comes in numbered pieces, whole, and ends", async () => {
  await using world = await createWorld();
  world.startRunner(await world.register("build-1"));
  const id = await run(world, "head -c 8000000 /dev/zero | tr '\\0' z; echo; echo after");

  const lines = await rawLines(world, id);

  const pieces = lines.slice(0, -1);
  const whole = Buffer.concat(pieces.map((piece) => piece.content));
  expect(whole.equals(Buffer.alloc(8_000_000, "z"))).toBe(true);
  expect(pieces.map((piece) => piece.continued)).toEqual(pieces.map((_, index) => index < pieces.length - 1));
  expect(lines.map((line) => line.number)).toEqual(lines.map((_, index) => BigInt(index)));
  expect(Buffer.from(lines.at(-1)!.content).toString()).toBe("after");
});

test("bad-36, bad-39: bytes stay as they are: invalid UTF-8, CRLF, a BOM, markup, no newline at the end", async () => {
  await using world = await createWorld();
  world.startRunner(await world.register("build-1"));
  const written = String.raw`\357\273\277bom\r\n\377\376\n\342\202\n\254<script>alert(1)</script>\n\n"q"`;
  const id = await run(world, `printf '${written}'`);

  const contents = (await rawLines(world, id)).map((line) => Buffer.from(line.content).toString("latin1"));

  expect(contents).toEqual(["\xef\xbb\xbfbom\r", "\xff\xfe", "\xe2\x82", "\xac<script>alert(1)</script>", "", '"q"']);
});

test("a log is read by range and by its tail, and the end is told", async () => {
  await using world = await createWorld();
  world.startRunner(await world.register("build-1"));
  const workload = await run(world, "seq 0 99; echo bad >&2");
  await untilEnded(world.admin, workload);
  await readWholeLog(world.admin, workload);
  const read = async (request: Parameters<typeof world.admin.logs.readLog>[0]) => {
    const { lines, nextLine, ended } = await world.admin.logs.readLog({ workload, ...request });
    return { numbers: lines.map((line) => Number(line.number)), next: Number(nextLine), ended };
  };

  expect(await read({ from: { case: "fromLine", value: 10n }, limit: 3 })).toEqual({
    numbers: [10, 11, 12],
    next: 13,
    ended: false,
  });
  expect(await read({ from: { case: "tail", value: 2 } })).toEqual({ numbers: [99, 100], next: 101, ended: true });
  expect(await read({ from: { case: "fromLine", value: 101n } })).toEqual({ numbers: [], next: 101, ended: true });
  const { lines } = await world.admin.logs.readLog({ workload });
  expect(lines.filter((line) => line.stream === LogStream.STDERR)).toHaveLength(1);
});

test("followers from the start, from the tail and after the end see the same end", async () => {
  await using world = await createWorld();
  world.startRunner(await world.register("build-1"));
  await using meeting = await createMeeting();
  const workload = await run(world, `seq 0 48; ${meeting.script}; seq 50 99`);
  const follow = async (from?: { case: "tail"; value: number }, seen: string[] = []) => {
    for await (const { lines } of world.admin.logs.followLog({ workload, ...(from && { from }) }))
      seen.push(...lines.map((line) => Buffer.from(line.content).toString()));
    return seen;
  };
  const all = Array.from({ length: 100 }, (_, index) => (index === 49 ? "waiting" : String(index)));

  const first = follow();
  await until("half is there", async () => (await world.admin.logs.readLog({ workload })).nextLine === 50n);
  const seen: string[] = [];
  const tail = follow({ case: "tail", value: 5 }, seen);
  await until("the tail is read", () => seen.length === 5);
  await meeting.release();

  expect(await first).toEqual(all);
  expect(await tail).toEqual(all.slice(45));
  expect(await follow()).toEqual(all);
  expect(await follow({ case: "tail", value: 3 })).toEqual(all.slice(97));
});

test("the log of another organization is not found, whether or not it exists", async () => {
  await using world = await createWorld();
  world.startRunner(await world.register("build-1"));
  const workload = await run(world, "echo secret");
  const { accessToken } = await world.admin.users.createUser({ name: "stranger" });
  const stranger = world.clientsOf(accessToken);

  for (const id of [workload, workload.replace(/.$/, "z")]) {
    const read = await stranger.logs.readLog({ workload: id }).catch((error: unknown) => ConnectError.from(error));
    expect(read).toMatchObject({ code: Code.NotFound });
  }
});

test("a job that handles SIGTERM ends by itself, one that ignores it is killed after the grace", async () => {
  await using world = await createWorld();
  world.startRunner(await world.register("build-1"));
  const kind = await run(world, "trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.05; done");
  const stubborn = await run(world, "trap '' TERM; echo up; while :; do sleep 0.05; done");
  for (const workload of [kind, stubborn])
    await until("it is up", async () => (await world.admin.logs.readLog({ workload })).nextLine === 1n);

  await world.admin.orchestrator.stopWorkload({ workload: kind, reason: "enough" });
  await world.admin.orchestrator.stopWorkload({ workload: stubborn, grace: durationFromMs(300) });

  const cancelled = { phase: WorkloadPhase.CANCELLED, stopRequested: true };
  expect(await untilEnded(world.admin, kind)).toMatchObject({
    ...cancelled,
    message: "enough",
    result: { exitCode: 7 },
  });
  expect(await untilEnded(world.admin, stubborn)).toMatchObject({ ...cancelled, result: { signal: "SIGKILL" } });
  expect(await readWholeLog(world.admin, kind)).toContain("bye");
});

test("a stop that waits for a long grace is hastened by a second one", async () => {
  await using world = await createWorld();
  world.startRunner(await world.register("build-1"));
  const workload = await run(world, "trap '' TERM; echo up; while :; do sleep 0.05; done");
  await until("it is up", async () => (await world.admin.logs.readLog({ workload })).nextLine === 1n);
  await world.admin.orchestrator.stopWorkload({ workload, grace: durationFromMs(3_600_000) });
  await until("it is stopping", async () => {
    const shown = await world.admin.orchestrator.getWorkload({ workload });
    return shown.workload!.phase === WorkloadPhase.STOPPING;
  });

  await world.admin.orchestrator.stopWorkload({ workload, grace: durationFromMs(0) });

  expect(await untilEnded(world.admin, workload)).toMatchObject({ phase: WorkloadPhase.CANCELLED });
});

test("a job that takes longer than its time-out ends as timed out", async () => {
  await using world = await createWorld();
  world.startRunner(await world.register("build-1"));
  const spec = { ...script("echo begun; sleep 60"), timeout: durationFromMs(1000) };

  const { workload } = await world.admin.orchestrator.startWorkload({ spec });
  const ended = await untilEnded(world.admin, workload!.id);

  expect(ended).toMatchObject({ phase: WorkloadPhase.FAILED, message: expect.stringContaining("timed out") });
  expect(await readWholeLog(world.admin, workload!.id)).toEqual(["begun"]);
});

test("a runner's measurements are shown and followed", async () => {
  await using world = await createWorld();
  world.startRunner(await world.register("build-1"));
  const simulation = create(SimulationSchema, { duration: durationFromMs(60_000) });
  await world.admin.orchestrator.startWorkload({ spec: { command: { case: "simulation", value: simulation } } });

  const times: bigint[] = [];
  const ending = new AbortController();
  const samples = world.admin.runners.readMetrics({ runner: "build-1", follow: true }, { signal: ending.signal });
  for await (const message of samples) {
    for (const { time, memoryTotalBytes, liveWorkloads } of message.samples) {
      expect(memoryTotalBytes).toBeGreaterThan(0n);
      times.push(time!.seconds * 1000n + BigInt(Math.floor(time!.nanos / 1e6)));
      if (times.length > 5 && liveWorkloads === 1) ending.abort();
    }
    if (ending.signal.aborted) break;
  }
  expect(times).toEqual([...new Set(times)].toSorted((a, b) => Number(a - b)));
});

test("the log of a workload that is lost ends for those who follow it, with every line that came", async () => {
  await using world = await createWorld();
  const runner = world.startRunner(await world.register("build-1"));
  const spec = script("echo one; echo two; exec sleep 60");
  const { workload } = await world.admin.orchestrator.startWorkload({ spec });
  const of = { workload: workload!.id };
  await until("both lines are there", async () => (await world.admin.logs.readLog(of)).nextLine === 2n);
  const followed = readWholeLog(world.admin, of.workload);
  await runner.kill("SIGKILL");

  const declareLost = () => world.admin.orchestrator.stopWorkload({ ...of, force: true });
  await until("its runner counts as out of reach", () => declareLost().catch(() => undefined));

  expect(await followed).toEqual(["one", "two"]);
  expect(await readWholeLog(world.admin, of.workload)).toEqual(["one", "two"]);
  expect((await world.admin.logs.readLog(of)).ended).toBe(true);
});
