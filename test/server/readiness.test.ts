import { expect, test } from "vitest";
import { createAuthenticator } from "../../server/src/api/authenticate.ts";
import { createPages } from "../../server/src/api/pages.ts";
import type { Loop } from "../../server/src/loops/driver.ts";
import { createMeters } from "../../server/src/meters.ts";
import { createSessionRegistry } from "../../server/src/sessions/session-registry.ts";
import type { Sql } from "../../server/src/store/database.ts";
import { openPlacer } from "../loops/world.ts";
import { createTestDatabase } from "../support/postgres.ts";

/** A loop that completed so long ago. */
const loop = (name: string, age_ms: number): Loop => ({
  name,
  completed_ms: performance.now() - age_ms,
  duration_ms: 1,
  signal: () => undefined,
  stop: async () => undefined,
});

async function readiness(sql: Sql, loops: readonly Loop[]) {
  const { placer } = await openPlacer(sql);
  const authenticate = createAuthenticator({ sql, cache_ms: 0 });
  const rest = { meters: createMeters(), placer, registry: createSessionRegistry(), authenticate, openMetrics: false };
  const pages = createPages({ sql, loops, ...rest });
  return () => pages({ path: "/readyz", isLocal: true, authorization: null });
}

test("I11: readiness fails while a loop has not completed in its time, and says which", async () => {
  const database = await createTestDatabase();

  const well = await readiness(database.sql, [loop("lead", 0), loop("sweep", 60_000)]);
  const stuck = await readiness(database.sql, [loop("lead", 31_000), loop("deliver", 0)]);

  expect(await well()).toMatchObject({ status: 200, body: "ready\n" });
  expect(await stuck()).toMatchObject({ status: 503, body: "loop lead has not completed for 30 s\n" });
  await database.drop();
});

test("I11: readiness fails once the database answers no more", async () => {
  const database = await createTestDatabase();
  const ask = await readiness(database.sql, []);

  await database.drop();

  expect(await ask()).toMatchObject({ status: 503, body: "the database does not answer\n" });
});
