import { expect, test } from "vitest";
import { outcomeOf } from "../support/runner-client.ts";
import { createWorld, readWholeLog, script, until, untilConnected, untilEnded } from "../support/world.ts";

test("a workload that ended long ago is gone with its log, and one of yesterday can still be read", async () => {
  await using world = await createWorld();
  const runner = await world.register("build-1");
  world.startRunner(runner);
  await untilConnected(world, runner);
  const [old, young] = await Promise.all([runToEnd("old"), runToEnd("young")]);
  const { sql } = world.database;
  await sql`update workload set create_time = now() - interval '91 days' where id = ${old}`;
  await sql`update workload_end set end_time = now() - interval '90 days 1 hour'
    where key = (select key from workload where id = ${old})`;

  await world.restartServer();

  const gone = () => outcomeOf(world.admin.orchestrator.getWorkload({ workload: old }));
  await until("the old workload is gone", async () => (await gone()) === "NOT_FOUND");
  expect(await outcomeOf(readWholeLog(world.admin, old))).toBe("NOT_FOUND");
  expect(await readWholeLog(world.admin, young)).toEqual(["young"]);
  const metrics = await (await fetch(`${world.server.gateway}/metrics`)).text();
  expect(metrics).toContain('agyn_swept_total{kind="workload"} 1');

  async function runToEnd(word: string): Promise<string> {
    const { workload } = await world.admin.orchestrator.startWorkload({ spec: script(`echo ${word}`) });
    await untilEnded(world.admin, workload!.id);
    await readWholeLog(world.admin, workload!.id);
    return workload!.id;
  }
});
