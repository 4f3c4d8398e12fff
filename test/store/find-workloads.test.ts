import { afterAll, expect, test } from "vitest";
import { startWorkloads } from "../../server/src/store/workload-starts.ts";
import { findWorkloads } from "../../server/src/store/workloads.ts";
import { createId } from "../../wire/ids.ts";
import { createTestDatabase } from "../support/postgres.ts";
import { newWorkload } from "../support/workload-rows.ts";

const database = await createTestDatabase();
afterAll(() => database.drop());
const { sql } = database;

test("a reference is an id, else the newest of a name, else a prefix of ids, and of its organization only", async () => {
  const [old, young, unnamed] = [newWorkload({ name: "nightly" }), newWorkload({ name: "nightly" }), newWorkload({})];
  const foreign = newWorkload({ organizationId: "org_other", name: "nightly" });
  for (const one of [old, young, unnamed, foreign]) await start(one);
  const find = async (reference: string) => (await findWorkloads(sql, reference, "org")).map((one) => one.id);

  expect(await find(old.id)).toEqual([old.id]);
  expect(await find("nightly")).toEqual([young.id]);
  expect(await find(unnamed.id.slice(0, 12))).toEqual([unnamed.id]);
  expect((await find("wkl_")).toSorted()).toEqual([old.id, young.id, unnamed.id].toSorted());
  expect(await find(foreign.id.slice(0, 12))).toEqual([]);
  expect(await find("")).toEqual([]);
});

function start(workload: ReturnType<typeof newWorkload>) {
  const writer = { replicaId: createId("replica"), storeEpoch: 1 };
  return startWorkloads(sql, writer, { epoch: -1n, fleetVersion: -1n }, [workload]);
}
