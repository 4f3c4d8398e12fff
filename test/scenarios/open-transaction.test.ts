import { expect, test } from "vitest";
import { createTestDatabase } from "../support/postgres.ts";
import { createProtocolRunner } from "../support/protocol-runner.ts";
import { createWorld, script, until } from "../support/world.ts";

test("a transaction that stays open elsewhere in the same PostgreSQL hides nothing from placing and watching", async () => {
  await using world = await createWorld();
  const elsewhere = await createTestDatabase();
  const { promise: open, resolve: end } = Promise.withResolvers<void>();
  const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
  const transaction = elsewhere.sql.begin(async (sql) => {
    await sql`select pg_current_xact_id()`;
    begin();
    await open;
  });
  await begun;
  const watched: string[] = [];
  const watching = new AbortController();
  const watch = (async () => {
    for await (const { workloads } of world.admin.orchestrator.watchWorkloads({}, { signal: watching.signal }))
      watched.push(...workloads.map((one) => one.id));
  })().catch(() => undefined);

  await using runner = await createProtocolRunner(world, await world.register("build-1"));
  const session = await runner.connect();
  const { workload } = await world.admin.orchestrator.startWorkload({ spec: script("true") });

  expect(await session.next("place")).toMatchObject({ workloadId: workload!.id });
  await until("the watcher has heard of it", () => watched.includes(workload!.id));
  watching.abort();
  end();
  await Promise.all([transaction, watch]);
  await elsewhere.drop();
});
