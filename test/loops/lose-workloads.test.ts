import { afterAll, expect, test } from "vitest";
import { createLossLoops } from "../../server/src/loops/lose-workloads.ts";
import { createId } from "../../wire/ids.ts";
import { createTestDatabase } from "../support/postgres.ts";
import { openPlacer } from "./world.ts";

const database = await createTestDatabase();
afterAll(() => database.drop());

test("no runner is offline whose workloads were not found out of reach with it", async () => {
  const { sql } = database;
  const runnerId = createId("runner");
  await sql`insert into runner (id, name, token_public_key, status, lease_time)
    values (${runnerId}, 'build-1', '', 'enrolled', now() - interval '1 second')`;
  await sql`insert into workload (id, organization_id, spec, demand, phase, runner_id, fence, pending_timeout_ms, created_by)
    values ('wkl', 'org', '', '{}', 'running', ${runnerId}, 1, 0, '')`;
  const world = await openPlacer(sql);
  await world.placer.renewLease();
  const times = { lease_ms: 30_000, heartbeat_ms: 10_000 };
  const nothing = { onRunnersChanged: () => undefined, onWorkloadsChanged: () => undefined };
  const loops = createLossLoops({ sql, ...world, ...times, ...nothing });
  await sql`alter table workload add constraint broken check (unreachable_since is null)`;
  await expect(loops.expireLeases()).rejects.toThrow("broken");
  await sql`alter table workload drop constraint broken`;

  await loops.expireLeases();

  const [row] = await sql<{ status: string; absence_s: number }[]>`
    select r.status, extract(epoch from r.lease_time - w.unreachable_since)::float8 as absence_s
    from runner r join workload w on w.runner_id = r.id`;
  expect(row).toEqual({ status: "offline", absence_s: 30 });
  await world.placer.stop();
});
