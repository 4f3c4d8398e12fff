import { afterAll, beforeEach, expect, onTestFinished, test } from "vitest";
import type { Demand } from "../../server/src/domain/demand.ts";
import { demandToJson } from "../../server/src/domain/workload.ts";
import type { Delivery } from "../../server/src/loops/placer.ts";
import { createId } from "../../wire/ids.ts";
import { gateSql, type Gate } from "../support/gated-sql.ts";
import { createTestDatabase } from "../support/postgres.ts";
import { newWorkload } from "../support/workload-rows.ts";
import { openPlacer } from "./world.ts";

const database = await createTestDatabase();
const { sql } = database;
afterAll(() => database.drop());
const organizationId = "org_specs";
const demand: Demand = {
  organizationId,
  requirements: [],
  capabilities: [],
  executor: "process",
  resources: new Map([["slots", 1]]),
  preferences: [],
};
const spec = Buffer.from("a spec that may be large");
beforeEach(async () => {
  await sql`truncate organization, runner, workload, workload_life cascade`;
  await sql`update leader set expire_time = now()`;
});

test("whoever leads begins, counts anew and is refused without reading the specs of what waits", async () => {
  await register("rnr_a", "offline");
  const { placer, specs } = await openWatched();
  await placer.renewLease();
  for (const _ of [1, 2, 3]) await placer.start(newStart());
  const successor = await openWatched();
  await sql`update leader set expire_time = now()`;

  await successor.placer.renewLease();
  await successor.placer.recount();
  await sql`update runner set status = 'enrolled', change_xid = pg_current_xact_id()`;
  await sql`update leader set fleet_version = fleet_version + 1`;
  await successor.fleet.refresh();
  successor.placer.wake();
  await expect.poll(() => successor.delivered.length).toBe(3);

  expect([...specs, ...successor.specs]).toEqual([]);
  expect(successor.delivered.map((one) => one.spec)).toEqual([null, null, null]);
});

test("what waited is handed on with its spec where its runner is connected, and is there alone read", async () => {
  await register("rnr_a", "offline", 1);
  await register("rnr_b", "offline", 1);
  const { placer, fleet, delivered, specs } = await openWatched((runnerId) => runnerId === "rnr_a");
  await placer.renewLease();
  for (const _ of [1, 2]) await placer.start(newStart());

  await sql`update runner set status = 'enrolled', change_xid = pg_current_xact_id()`;
  await fleet.refresh();
  await placer.renewLease();
  placer.wake();
  await expect.poll(() => delivered.length).toBe(2);

  const specOf = (runnerId: string) => delivered.find((one) => one.runnerId === runnerId)!.spec;
  expect(specOf("rnr_a")).toEqual(spec);
  expect(specOf("rnr_b")).toBeNull();
  expect(specs).toEqual([spec]);
});

test("a start that is placed at once is handed on with the spec that came with it", async () => {
  await register("rnr_a", "enrolled");
  const { placer, delivered, specs } = await openWatched();
  await placer.renewLease();

  await placer.start(newStart());

  expect(delivered.map((one) => one.spec)).toEqual([spec]);
  expect(specs).toEqual([]);
});

/** A placer, what it hands on, and the specs that any of its statements answered. */
async function openWatched(isHere: (runnerId: string) => boolean = () => false) {
  const delivered: Delivery[] = [];
  const specs: Uint8Array[] = [];
  const gate: Gate = async (run) => {
    const answer = await run();
    if (Array.isArray(answer)) for (const row of answer as { spec?: Uint8Array }[]) if (row.spec) specs.push(row.spec);
    return answer;
  };
  const opened = await openPlacer(gateSql(sql, gate, sql), { isHere, deliver: (one) => delivered.push(one) });
  onTestFinished(() => opened.placer.stop());
  return { ...opened, delivered, specs };
}

async function register(id: string, status: "offline" | "enrolled", slots = 3): Promise<void> {
  const report = { labels: {}, found: [], executors: ["process"], capacity: { slots } };
  await sql`insert into organization (id, name) values (${organizationId}, 'default') on conflict do nothing`;
  await sql`insert into runner (id, organization_id, name, token_public_key, status, session_replica_id, reported)
    values (${id}, ${organizationId}, ${id}, '', ${status}, 'rep_a', ${sql.json(report)})`;
}

function newStart() {
  const { runnerId: _, verdict: __, message: ___, ...workload } = newWorkload({ organizationId, spec });
  return { workload: { ...workload, id: createId("workload"), demand: demandToJson(demand) }, demand };
}
