import { afterAll, beforeAll, expect, test } from "vitest";
import type { Demand } from "../../server/src/domain/demand.ts";
import { demandToJson } from "../../server/src/domain/workload.ts";
import { createId } from "../../wire/ids.ts";
import { gateSql, type Gate } from "../support/gated-sql.ts";
import { createTestDatabase } from "../support/postgres.ts";
import { openPlacer } from "./world.ts";

const database = await createTestDatabase();
beforeAll(registerRunner);
afterAll(() => database.drop());
const { sql } = database;
const organizationId = createId("organization");
const demand: Demand = {
  organizationId,
  requirements: [],
  capabilities: [],
  executor: "process",
  resources: new Map([["slots", 1]]),
  preferences: [],
};

test("what is started while a leadership begins waits for a runner like everything else", async () => {
  const many = 20_000;
  await sql`insert into workload (key, id, organization_id, spec, demand, pending_timeout_ms, created_by)
    select i, 'wkl_' || i, ${organizationId}, '', ${JSON.stringify(demandToJson(demand))}::text::json, 60000, ''
    from generate_series(1, ${many}) i`;
  await sql`insert into workload_life (key, fence, id, organization_id, phase)
    select key, -key, id, organization_id, 'pending' from workload`;
  await sql`select setval('fence_counter', ${many})`;
  const placer = (await openPlacer(sql)).placer;
  let begun = false;
  const beginning = placer.renewLease().then(() => (begun = true));

  let started = 0;
  for (; !begun; started++) await placer.start({ workload: newWorkload(), demand });
  await beginning;

  expect(started).toBeGreaterThan(0);
  expect(placer.waiting).toBe(many + started);
  await placer.stop();
});

test("a replica leads only once absent runners were granted the time in which nobody led", async () => {
  const told: { gap_ms: number; leads: boolean }[] = [];
  const onBegin = async (gap_ms: number) => {
    told.push({ gap_ms, leads: placer.leads });
    if (told.length === 1) throw new Error("the database went away");
  };
  const { placer } = await openPlacer(sql, { onBegin });
  await sql`update leader set holder = 'another', expire_time = now(), renew_time = now() - interval '1 hour'`;

  await expect(placer.renewLease()).rejects.toThrow("went away");
  expect(placer.leads).toBe(false);
  await placer.renewLease();

  expect(placer.leads).toBe(true);
  expect(told.map((one) => one.leads)).toEqual([false, false]);
  expect(told[1]!.gap_ms).toBeGreaterThanOrEqual(3_600_000);
  await placer.stop();
});

test("a start whose statement is held up does not hold back the next one", async () => {
  const { placer } = await openPlacer(sql);
  const workload = newWorkload();
  const isHeldUp = async () => {
    const [row] = await sql<{ isHeldUp: boolean }[]>`select exists (
      select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock') as "isHeldUp"`;
    return row!.isHeldUp;
  };

  const first = await sql.begin(async (transaction) => {
    await transaction`insert into workload (key, id, organization_id, spec, demand, pending_timeout_ms, created_by)
      values (-1, ${workload.id}, ${organizationId}, '', ${JSON.stringify(workload.demand)}::text::json, 60000, '')`;
    const started = placer.start({ workload, demand });
    await expect.poll(isHeldUp).toBe(true);
    expect(await placer.start({ workload: newWorkload(), demand })).toMatchObject({ kind: "started" });
    return { started };
  });

  expect(await first.started).toEqual({ kind: "exists" });
  await placer.stop();
});

test("of starts that fail while the doubt about an earlier one is being settled, the doubt is settled next", async () => {
  const writes: PromiseWithResolvers<void>[] = [];
  let holds = false;
  const gate: Gate = async (run, reads) => {
    const passed = Promise.withResolvers<void>();
    if (reads || !holds) passed.resolve();
    else writes.push(passed);
    await passed.promise;
    return run();
  };
  const { placer } = await openPlacer(gateSql(sql, gate, sql));
  await placer.renewLease();
  holds = true;
  const untilHeld = (count: number) => expect.poll(() => writes.length).toBe(count);
  const outcomes: Promise<unknown>[] = [];
  for (const count of [1, 2]) {
    outcomes.push(placer.start({ workload: newWorkload(), demand }).catch(String));
    await untilHeld(count);
  }

  writes[0]!.reject("broken");
  await untilHeld(3);
  writes[1]!.reject("broken");
  expect(await Promise.all(outcomes)).toEqual(["broken", "broken"]);
  holds = false;
  writes[2]!.resolve();

  await expect.poll(() => placer.leads).toBe(true);
  await placer.stop();
});

test("a start that no runner can be picked for because of a fault is told so, and holds up no other", async () => {
  const { placer } = await openPlacer(sql);
  const unreadable = { ...demand, requirements: undefined as never };

  await expect(placer.start({ workload: newWorkload(), demand: unreadable })).rejects.toThrow("undefined");

  expect(await placer.start({ workload: newWorkload(), demand })).toMatchObject({ kind: "started" });
  await placer.stop();
});

test("large starts are not gathered into one statement, which could hold up or fail the others in it", async () => {
  let writes = 0;
  const gate: Gate = async (run, reads) => {
    if (!reads) writes += 1;
    return run();
  };
  const { placer } = await openPlacer(gateSql(sql, gate, sql));
  await placer.renewLease();
  const start = async (spec: Buffer) => placer.start({ workload: { ...newWorkload(), spec }, demand });
  writes = 0;

  const large = Array.from({ length: 3 }, () => start(Buffer.alloc(3 * 1024 * 1024)));
  await Promise.all([...large, start(Buffer.of()), start(Buffer.of())]);

  expect(writes).toBe(3);
  await placer.stop();
});

/** One that has never connected, so that a demand waits for it. */
async function registerRunner(): Promise<void> {
  await sql`insert into organization (id, name) values (${organizationId}, 'default')`;
  await sql`insert into runner (id, organization_id, name, token_public_key)
    values (${createId("runner")}, ${organizationId}, 'build-1', '')`;
}

function newWorkload() {
  return {
    id: createId("workload"),
    organizationId,
    name: "",
    labels: {},
    spec: Buffer.of(),
    demand: demandToJson(demand),
    maximumTries: 1,
    retryOnLost: false,
    retryOnFailed: false,
    lostAfter_ms: null,
    pendingTimeout_ms: 60_000,
    createdBy: "",
  };
}
