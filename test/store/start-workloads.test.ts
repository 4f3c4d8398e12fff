import { afterAll, expect, test } from "vitest";
import { startWorkloads } from "../../server/src/store/workload-starts.ts";
import { createId } from "../../wire/ids.ts";
import { createTestDatabase } from "../support/postgres.ts";
import { newWorkload } from "../support/workload-rows.ts";

const database = await createTestDatabase();
afterAll(() => database.drop());

const writer = { replicaId: createId("replica"), storeEpoch: 1 };
const unguarded = { epoch: -1n, fleetVersion: -1n };

test("a workload that is there stays as it is, and the others of its batch are inserted", async () => {
  const [there, other] = [newWorkload({ name: "first" }), newWorkload({ name: "other" })];
  await startWorkloads(database.sql, writer, unguarded, [there]);

  const started = await startWorkloads(database.sql, writer, unguarded, [{ ...there, name: "second" }, other]);

  expect(started.map(({ id, phase }) => ({ id, phase }))).toEqual([{ id: other.id, phase: "pending" }]);
  const rows = await database.sql<{ name: string }[]>`select name from workload order by key`;
  expect(rows.map((row) => row.name)).toEqual(["first", "other"]);
});
