import { randomInt } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import { WorkloadPhase } from "../../proto/gen/agyn/orchestrator/v1/workload_pb.ts";
import { stageBytes } from "../../runner/src/executors/output-stage.ts";
import { createWorld, readWholeLog, script, until, untilEnded, type World } from "../support/world.ts";

const kills = 4;
const lines = 200_000;
const nextLine = async (world: World, workload: string) =>
  (await world.admin.logs.readLog({ workload, limit: 1, from: { case: "tail", value: 1 } })).nextLine;
const isEnded = async (world: World, workload: string) =>
  (await world.admin.orchestrator.getWorkload({ workload })).workload!.endTime !== undefined;

test("a runner that is killed again and again at full speed loses at most the read that a kill hit, and repeats nothing", async () => {
  await using world = await createWorld();
  const registered = await world.register("build-1");
  const fill = "x".repeat(90);
  const spec = script(`seq -f '%.0f ${fill}' 0 ${lines - 1}; printf end`);
  const { workload } = await world.admin.orchestrator.startWorkload({ spec });
  const id = workload!.id;

  for (let kill = 0; kill < kills && !(await isEnded(world, id)); kill += 1) {
    const before = await nextLine(world, id);
    const runner = world.startRunner(registered);
    await until("lines go on", async () => (await nextLine(world, id)) > before || (await isEnded(world, id)));
    // Nothing is waited for: a kill is to come at a moment that nobody chose.
    await delay(randomInt(60));
    await runner.kill("SIGKILL");
  }
  world.startRunner(registered);
  const ended = await untilEnded(world.admin, id);
  const log = await readWholeLog(world.admin, id);

  expect(ended).toMatchObject({ phase: WorkloadPhase.SUCCEEDED, try: 1 });
  const whole = log.filter((line) => /^[0-9]+ x{90}$/.test(line)).map((line) => Number.parseInt(line, 10));
  expect(whole).toEqual([...new Set(whole)].toSorted((a, b) => a - b));
  expect(log.length - whole.length - 1).toBeLessThanOrEqual(kills);
  expect((lines - whole.length) * (fill.length + 8)).toBeLessThanOrEqual(kills * (stageBytes + fill.length + 8));
  expect(log.at(-1)).toBe("end");
});
