import { afterAll, beforeEach, expect, test } from "vitest";
import { createDelivery } from "../../server/src/sessions/deliver.ts";
import { createSession, createSessionRegistry } from "../../server/src/sessions/session-registry.ts";
import { createSentPlacements } from "../../server/src/sessions/sent-placements.ts";
import { gateSql, type Gate } from "../support/gated-sql.ts";
import { createTestDatabase } from "../support/postgres.ts";
import { insertRunning } from "../support/workload-rows.ts";

const database = await createTestDatabase();
const { sql } = database;
afterAll(() => database.drop());
beforeEach(() => sql`truncate workload, workload_life`);

function connected() {
  const session = createSession({ runnerId: "rnr", spkiSha256: "" }, 1n);
  const registry = createSessionRegistry();
  registry.add(session);
  return { session, registry };
}

test("a placement that ended while a slow reading was on its way is not sent again by it", async () => {
  const { session, registry } = connected();
  await insertRunning(sql, { id: "wkl", runnerId: "rnr", fence: 7n });
  await sql`update workload_life set phase = 'placed'`;
  session.sent.add("wkl", 7n);
  const sentAnew: string[] = [];
  const slow: Gate = async (run) => {
    const reading = await run();
    // Meanwhile the runner has said that it is done, and that was written.
    session.sent.settle("wkl", 7n);
    return reading;
  };
  const deliver = createDelivery({
    sql: gateSql(sql, slow, sql),
    registry,
    tell: ({ id }) => sentAnew.push(id),
    stop: () => undefined,
  });

  await deliver();

  expect(sentAnew).toEqual([]);
  expect(session.sent.has("wkl", 7n)).toBe(true);
  await sql`truncate workload, workload_life`;
  await deliver();
  expect(session.sent.size).toBe(0);
});

test("of what is placed only what a runner connected here has not been sent is read whole, in bounded parts", async () => {
  const { session, registry } = connected();
  for (const [id, fence] of [
    ["sent", 7n],
    ["large", 8n],
    ["small", 9n],
  ] as const)
    await insertRunning(sql, { id, runnerId: "rnr", fence });
  await insertRunning(sql, { id: "elsewhere", runnerId: "rnr_other", fence: 10n });
  await sql`update workload_life set phase = 'placed'`;
  await sql`update workload set spec = ${Buffer.alloc(5_000_000)} where id = 'large'`;
  session.sent.add("sent", 7n);
  const readings: string[][] = [];
  const gate: Gate = async (run) => {
    const rows = (await run()) as { id: string; spec?: Uint8Array }[];
    if (rows.some((row) => row.spec)) readings.push(rows.map((row) => row.id));
    return rows as never;
  };

  const told: string[] = [];
  const deps = { sql: gateSql(sql, gate, sql), registry, stop: () => undefined };
  await createDelivery({ ...deps, tell: ({ id }) => told.push(id) })();

  expect(readings).toEqual([["large"], ["small"]]);
  expect(told).toEqual(["large", "small"]);
});

test("a stop is forgotten with its placement, so that a long session does not grow", async () => {
  const { session, registry } = connected();
  session.sent.add("wkl", 7n);
  session.stopSent.set("wkl", null);
  session.sent.settle("wkl", 7n);

  await createDelivery({ sql, registry, tell: () => undefined, stop: () => undefined })();

  expect([session.sent.size, session.stopSent.size]).toEqual([0, 0]);
});

test("a later placement of the same workload is sent, and an earlier one never after it", () => {
  const sent = createSentPlacements();
  sent.add("wkl", 7n);
  sent.settle("wkl", 7n);
  const settled = sent.settled();
  expect(sent.has("wkl", 9n)).toBe(false);

  sent.add("wkl", 9n);
  sent.forget(settled);

  expect([sent.has("wkl", 7n), sent.has("wkl", 9n), sent.has("wkl", 11n)]).toEqual([true, true, false]);
});
