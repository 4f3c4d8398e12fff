import { afterAll, expect, test } from "vitest";
import {
  insertMetricsSamples,
  listMetricsSamples,
  sweepMetricsSamples,
} from "../../server/src/store/metrics-samples.ts";
import { createTestDatabase } from "../support/postgres.ts";

const database = await createTestDatabase();
afterAll(() => database.drop());

test("samples of a runner whose clock is years ahead are not kept for ever", async () => {
  const hour_ms = 3_600_000;
  const times = [-7, -5, 1, 7, 50_000].map((hours) => new Date(Date.now() + hours * hour_ms));
  const rows = times.map((time) => ({ runnerId: "rnr", time, sample: Buffer.of(1) }));
  await insertMetricsSamples(database.sql, rows);

  await sweepMetricsSamples(database.sql, 6 * hour_ms, 1000);

  const kept = await listMetricsSamples(database.sql, "rnr", new Date(0));
  expect(kept.map((row) => row.time)).toEqual(times.slice(1, 3));
});
