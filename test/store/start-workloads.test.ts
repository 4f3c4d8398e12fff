import { afterAll, expect, test } from "vitest";
import { startWorkloads, type NewWorkload } from "../../server/src/store/workload-transitions.ts";
import { createId } from "../../wire/ids.ts";
import { createTestDatabase } from "../support/postgres.ts";

const database = await createTestDatabase();
afterAll(() => database.drop());

const writer = { replicaId: createId("replica"), storeEpoch: 1 };
const unguarded = { epoch: -1n, fleetVersion: -1n };

test("a workload that is there stays as it is, and the others of its batch are inserted", async () => {
  const [there, other] = [newWorkload("first"), newWorkload("other")];
  await startWorkloads(database.sql, writer, unguarded, [there]);

  const started = await startWorkloads(database.sql, writer, unguarded, [{ ...there, name: "second" }, other]);

  expect(started.map(({ id, phase }) => ({ id, phase }))).toEqual([{ id: other.id, phase: "pending" }]);
  const rows = await database.sql<{ name: string }[]>`select name from workload order by key`;
  expect(rows.map((row) => row.name)).toEqual(["first", "other"]);
});

function newWorkload(name: string): NewWorkload {
  return {
    id: createId("workload"),
    organizationId: createId("organization"),
    name,
    labels: {},
    spec: Buffer.of(1, 2, 3),
    demand: {
      organizationId: "",
      requirements: [],
      capabilities: [],
      executor: "process",
      resources: { slots: 1 },
      preferences: [],
    },
    maximumTries: 1,
    retryOnLost: false,
    retryOnFailed: false,
    lostAfter_ms: null,
    pendingTimeout_ms: 1_000,
    createdBy: createId("user"),
    runnerId: null,
    verdict: "",
    message: "",
  };
}
