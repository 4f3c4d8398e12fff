import { afterAll, expect, onTestFinished, test } from "vitest";
import { createLossLoops } from "../../server/src/loops/lose-workloads.ts";
import { createId } from "../../wire/ids.ts";
import { createTestDatabase } from "../support/postgres.ts";
import { insertRunning } from "../support/workload-rows.ts";
import { openPlacer } from "./world.ts";

const database = await createTestDatabase();
afterAll(() => database.drop());

/** The loops of a leader, over a runner whose lease has run out. */
async function openLoops(times: { lease_ms: number; heartbeat_ms: number; period_ms: number }) {
  const { sql } = database;
  const runnerId = createId("runner");
  await sql`insert into runner (id, name, token_public_key, status, lease_time)
    values (${runnerId}, ${runnerId}, '', 'enrolled', now() - interval '1 second')`;
  const world = await openPlacer(sql);
  onTestFinished(() => world.placer.stop());
  await world.placer.renewLease();
  const nothing = { onRunnersChanged: () => undefined, onWorkloadsChanged: () => undefined };
  return { sql, runnerId, loops: createLossLoops({ sql, ...world, ...times, ...nothing }) };
}

test("no runner is offline whose workloads were not found out of reach with it", async () => {
  const { sql, runnerId, loops } = await openLoops({ lease_ms: 30_000, heartbeat_ms: 10_000, period_ms: 1000 });
  await insertRunning(sql, { id: "wkl", runnerId, fence: 1n });
  await sql`alter table workload_life add constraint broken check (unreachable_since is null)`;
  await expect(loops.expireLeases()).rejects.toThrow("broken");
  await sql`alter table workload_life drop constraint broken`;

  await loops.expireLeases();

  const [row] = await sql<{ status: string; absence_s: number }[]>`
    select r.status, extract(epoch from r.lease_time - w.unreachable_since)::float8 as absence_s
    from runner r join workload_life w on w.runner_id = r.id`;
  expect(row).toEqual({ status: "offline", absence_s: 30 });
});

test("a leader that looks more rarely than runners show that they live believes in their absence all the same", async () => {
  const { sql, runnerId, loops } = await openLoops({ lease_ms: 30_000, heartbeat_ms: 0, period_ms: 15_000 });

  await loops.expireLeases();

  expect(await sql`select status from runner where id = ${runnerId}`).toEqual([{ status: "offline" }]);
});
