import { afterAll, expect, test } from "vitest";
import { createLossLoops } from "../../server/src/loops/lose-workloads.ts";
import { createId } from "../../wire/ids.ts";
import { createTestDatabase } from "../support/postgres.ts";
import { insertRunning } from "../support/workload-rows.ts";
import { openPlacer } from "./world.ts";

const database = await createTestDatabase();
afterAll(() => database.drop());

test("no runner is offline whose workloads were not found out of reach with it", async () => {
  const { sql } = database;
  const runnerId = createId("runner");
  await sql`insert into runner (id, name, token_public_key, status, lease_time)
    values (${runnerId}, 'build-1', '', 'enrolled', now() - interval '1 second')`;
  await insertRunning(sql, { id: "wkl", runnerId, fence: 1n });
  const world = await openPlacer(sql);
  await world.placer.renewLease();
  const times = { lease_ms: 30_000, heartbeat_ms: 10_000 };
  const nothing = { onRunnersChanged: () => undefined, onWorkloadsChanged: () => undefined };
  const loops = createLossLoops({ sql, ...world, ...times, ...nothing });
  await sql`alter table workload_life add constraint broken check (unreachable_since is null)`;
  await expect(loops.expireLeases()).rejects.toThrow("broken");
  await sql`alter table workload_life drop constraint broken`;

  await loops.expireLeases();

  const [row] = await sql<{ status: string; absence_s: number }[]>`
    select r.status, extract(epoch from r.lease_time - w.unreachable_since)::float8 as absence_s
    from runner r join workload_life w on w.runner_id = r.id`;
  expect(row).toEqual({ status: "offline", absence_s: 30 });
  await world.placer.stop();
});
