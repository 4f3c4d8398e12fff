import { randomInt } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import { WorkloadPhase } from "../../proto/gen/agyn/orchestrator/v1/workload_pb.ts";
import { createWorld, readWholeLog, script, until, untilEnded, type World } from "../support/world.ts";

const kills = 5;
const nextLine = async (world: World, workload: string) =>
  (await world.admin.logs.readLog({ workload, limit: 1, from: { case: "tail", value: 1 } })).nextLine;

test("a runner that is killed again and again at full speed loses no line and no part of one", async () => {
  await using world = await createWorld();
  const registered = await world.register("build-1");
  const lines = 300_000;
  const { workload } = await world.admin.orchestrator.startWorkload({ spec: script(`seq 0 ${lines - 1}; printf end`) });

  for (let kill = 0; kill < kills; kill += 1) {
    const before = await nextLine(world, workload!.id);
    const runner = world.startRunner(registered);
    await until("lines go on", async () => (await nextLine(world, workload!.id)) > before);
    // Nothing is waited for: a kill is to come at a moment that nobody chose.
    await delay(randomInt(150));
    await runner.kill("SIGKILL");
  }
  world.startRunner(registered);
  const ended = await untilEnded(world.admin, workload!.id);
  const log = await readWholeLog(world.admin, workload!.id);

  expect(ended).toMatchObject({ phase: WorkloadPhase.SUCCEEDED, try: 1 });
  expect(log.length).toBe(lines + 1);
  expect(log.findIndex((line, number) => line !== String(number))).toBe(lines);
  expect(log.at(-1)).toBe("end");
});
