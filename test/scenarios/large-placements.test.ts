import { expect, test } from "vitest";
import { createWorld, readWholeLog } from "../support/world.ts";

const environment = Array.from({ length: 7 }, (_, index) => ({ name: `LARGE_${index}`, value: "x".repeat(131_000) }));
const spec = { command: { case: "simulation" as const, value: { lines: 1n } }, environment };

test("placements that are larger together than a message may be all reach their runner", async () => {
  await using world = await createWorld({ heartbeat: "1s", lease: "10s" });
  const runner = await world.register("build-1");
  const ids: string[] = [];
  for (let count = 0; count < 20; count += 1)
    ids.push((await world.admin.orchestrator.startWorkload({ spec })).workload!.id);

  // They are placed at once, by the first session.
  world.startRunner(runner, { slots: ids.length });

  for (const id of ids) expect(await readWholeLog(world.admin, id)).toHaveLength(1);
});
