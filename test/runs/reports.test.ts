import { afterAll, expect, test } from "vitest";
import { insertOrganization } from "../../server/src/store/organizations.ts";
import { claimReports, insertReport } from "../../server/src/store/reports.ts";
import { createId } from "../../wire/ids.ts";
import { createRunWorld } from "./run-world.ts";

const world = await createRunWorld();
const { sql } = world;
afterAll(() => world[Symbol.asyncDispose]());

const target = { forge: "forgejo", apiUrl: "http://127.0.0.1:1", repository: "a/b", commit: "c" } as never;

/** A run that a trigger of its own began, and of which its forge is to be told. */
async function reportedRun(organizationId: string): Promise<string> {
  const run = await world.start("jobs: { build: { run: x } }", undefined, organizationId);
  const [projectId, triggerId] = [createId("project"), createId("trigger")];
  await sql`insert into project (id, organization_id, name) values (${projectId}, ${organizationId}, ${projectId})`;
  await sql`insert into trigger (id, organization_id, project_id, name) values (${triggerId}, ${organizationId}, ${projectId}, 'hook')`;
  await insertReport(sql, { runId: run.id, triggerId, target });
  return run.id;
}

test("an organization whose forges never answer does not hold up what another's forge is told", async () => {
  const other = await insertOrganization(sql, "other", null);
  const limits = { limit: 32, organizationLimit: 4, lease_ms: 60_000 };
  for (let count = 0; count < 6; count++) await reportedRun(world.organization.id);

  const first = await claimReports(sql, { ...limits, underWay: {} });
  const late = await reportedRun(other.id);
  const second = await claimReports(sql, { ...limits, underWay: { [world.organization.id]: first.length } });

  expect(first.map((row) => row.organizationId)).toEqual(Array.from({ length: 4 }, () => world.organization.id));
  expect(second.map((row) => row.runId)).toEqual([late]);
});
