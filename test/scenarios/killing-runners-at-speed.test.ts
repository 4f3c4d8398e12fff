import { randomInt } from "node:crypto";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import { WorkloadPhase } from "../../proto/gen/agyn/orchestrator/v1/workload_pb.ts";
import { executionFiles } from "../../runner/src/executors/record.ts";
import { readOutputMark } from "../../runner/src/executors/output-mark.ts";
import { createWorld, readWholeLog, script, until, untilEnded } from "../support/world.ts";

const kills = 8;
/** All in all less than a spool holds, so that none has to go. */
const lines = 500_000;
const fill = "x".repeat(90);

/** Which piece of the only execution's output a runner handed on last. */
function takenLast(dataDirectory: string): string | undefined {
  const executions = join(dataDirectory, "executions");
  const [name] = existsSync(executions) ? readdirSync(executions) : [];
  return name === undefined
    ? undefined
    : JSON.stringify(readOutputMark(executionFiles(join(executions, name)).stdout.mark));
}

test("a runner that is killed again and again at full speed loses and repeats nothing", async () => {
  await using world = await createWorld();
  const registered = await world.register("build-1");
  const spec = script(`seq -f '%.0f ${fill}' 0 ${lines - 1}; printf end`);
  const { workload } = await world.admin.orchestrator.startWorkload({ spec });
  const { id } = workload!;
  const isEnded = async () =>
    (await world.admin.orchestrator.getWorkload({ workload: id })).workload!.endTime !== undefined;
  let before: string | undefined;

  for (let kill = 0; kill < kills && !(await isEnded()); kill += 1) {
    const runner = world.startRunner(registered);
    await until("output goes on", async () => takenLast(registered.dataDirectory) !== before || (await isEnded()));
    // Nothing is waited for: a kill is to come at a moment that nobody chose.
    await delay(randomInt(15));
    await runner.kill("SIGKILL");
    before = takenLast(registered.dataDirectory);
  }
  world.startRunner(registered);
  const ended = await untilEnded(world.admin, id);
  const log = await readWholeLog(world.admin, id);

  expect(ended).toMatchObject({ phase: WorkloadPhase.SUCCEEDED, try: 1 });
  expect(log.length).toBe(lines + 1);
  expect(log.findIndex((line, index) => index < lines && line !== `${index} ${fill}`)).toBe(-1);
  expect(log.at(-1)).toBe("end");
}, 180_000);
