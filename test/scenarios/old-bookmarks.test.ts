import { expect, test } from "vitest";
import { reasonOf } from "../support/runner-client.ts";
import { createWorld } from "../support/world.ts";

test("a bookmark after which more changed than a watch catches up with is too old", async () => {
  await using world = await createWorld();
  const { sql } = world.database;
  const [mine] = await sql<{ id: string }[]>`select id from organization where name = 'default'`;
  const bookmark = await bookmarkNow();
  const fill = (organizationId: string, count: number) => sql`
    with record as (
      insert into workload (key, id, organization_id, spec, demand, pending_timeout_ms, created_by)
      select nextval('fence_counter'), ${organizationId} || '-' || i, ${organizationId}, '', '{}', 0, ''
      from generate_series(1, ${count}::int) i returning key
    )
    insert into workload_end (key, organization_id, phase, message, verdict, fence, pend_time, end_time, writer)
    select key, ${organizationId}, 'succeeded', '', '', key, now(), now(), '' from record`;

  await fill("org_of_others", 10_001);
  await expect(caughtUp(bookmark)).resolves.toBe(0);
  await fill(mine!.id, 10_001);
  await expect(caughtUp(bookmark).catch(reasonOf)).resolves.toBe("CURSOR_EXPIRED");

  async function bookmarkNow(): Promise<string> {
    for await (const step of world.admin.orchestrator.watchWorkloads({}))
      if (step.snapshotComplete) return step.bookmark;
    throw new Error("the watch ended before its snapshot was complete");
  }
  async function caughtUp(from: string): Promise<number> {
    for await (const step of world.admin.orchestrator.watchWorkloads({ bookmark: from })) return step.workloads.length;
    return -1;
  }
});
