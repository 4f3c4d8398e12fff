import { expect, test } from "vitest";
import { ensurePendingKey } from "../../runner/src/identity-keys.ts";
import { createIdentityMemory } from "../../runner/src/identity-store.ts";
import { dialRunnerPlane, enrollClient, outcomeOf, outcomesOf, type RunnerClient } from "../support/runner-client.ts";
import { createWorld } from "../support/world.ts";

/** What tells a client that another one is, or will be, the runner. */
const finalRefusals = new Set(["IDENTITY_SUPERSEDED", "RUNNER_HAS_LIVE_SESSION"]);

test("enrolling again with the same key gets the same answer and counts once", async () => {
  await using world = await createWorld();
  const runner = await world.register("build-1", { token: { maximumUses: 1 } });
  const store = createIdentityMemory();
  const pendingKey = ensurePendingKey(store, runner.id);
  const first = await enrollClient(world.server.gateway, runner.token, store);

  store.save({ version: 1, runnerId: runner.id, pendingKey });
  const again = await enrollClient(world.server.gateway, runner.token, store);

  expect(again).toMatchObject({ identityId: first.identityId, chainPem: first.chainPem, generation: "1" });
  expect(await outcomesOf(world.admin, runner.id, "runner.enroll")).toEqual(["ok", "ok"]);
});

test("bad-01: of 50 clients with one service token one is connected at rest, the others are told why not", async () => {
  await using world = await createWorld({ lease: "60s" });
  const runner = await world.register("build-1");
  const crowd = Array.from({ length: 50 }, () => createNewcomer(world.server.gateway, runner.token));

  const outcomes = await Promise.all(crowd.map((one) => one.come()));

  const told = outcomes.filter((outcome) => outcome !== "ok");
  expect(told.filter((outcome) => !finalRefusals.has(outcome))).toEqual([]);
  expect(told).toHaveLength(49);
  const { sql } = world.database;
  const current = await sql`select 1 from identity where runner_id = ${runner.id} and state = 'current'`;
  expect(current).toHaveLength(1);
  const attempts = crowd.reduce((sum, one) => sum + one.enrollments(), 0);
  expect(await outcomesOf(world.admin, runner.id, "runner.enroll")).toHaveLength(attempts);
  for (const one of crowd) one.leave();
});

test("bad-01: a token of three uses gives three identities to 20 clients at once", async () => {
  await using world = await createWorld();
  const runner = await world.register("build-1", { token: { maximumUses: 3 } });

  const outcomes = await Promise.all(
    Array.from({ length: 20 }, () => outcomeOf(enrollClient(world.server.gateway, runner.token))),
  );

  const count = (reason: string) => outcomes.filter((outcome) => outcome === reason).length;
  expect([count("ok"), count("SERVICE_TOKEN_REFUSED")]).toEqual([3, 17]);
  const issued = await world.database.sql`select id from identity where runner_id = ${runner.id}`;
  expect(issued).toHaveLength(3);
});

/** A client that enrolls with a key of its own and connects, and tries again only where something broke on the way. */
function createNewcomer(gateway: string, token: string) {
  const store = createIdentityMemory();
  let enrollments = 0;
  let client: RunnerClient | undefined;
  const connect = async () => {
    enrollments += 1;
    const identity = await enrollClient(gateway, token, store);
    client = await dialRunnerPlane(identity);
    (await client.placements()).confirm();
  };
  return {
    enrollments: () => enrollments,
    leave: () => client?.close(),
    async come(): Promise<string> {
      for (let tries = 1; ; tries += 1) {
        const outcome = await outcomeOf(connect());
        if (outcome === "ok" || finalRefusals.has(outcome) || tries === 5) return outcome;
      }
    },
  };
}
