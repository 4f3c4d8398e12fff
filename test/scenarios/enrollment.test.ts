import { expect, test } from "vitest";
import { ensurePendingKey } from "../../runner/src/identity-keys.ts";
import { createIdentityMemory } from "../../runner/src/identity-store.ts";
import { dialRunnerPlane, enrollClient, outcomeOf, outcomesOf, reasonOf } from "../support/runner-client.ts";
import { createWorld } from "../support/world.ts";

const retryable = new Set(["IDENTITY_SUPERSEDED", "RUNNER_HAS_LIVE_SESSION"]);

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
  await using world = await createWorld({ lease: "20s" });
  const runner = await world.register("build-1");
  const attempt = async () => {
    const identity = await enrollClient(world.server.gateway, runner.token);
    const client = await dialRunnerPlane(identity);
    try {
      const session = await client.placements();
      session.confirm();
      return { reason: "connected", client, session };
    } catch (error) {
      client.close();
      return { reason: reasonOf(error), client, session: undefined };
    }
  };

  const outcomes = await Promise.all(
    Array.from({ length: 50 }, () => attempt().catch((error: unknown) => ({ reason: reasonOf(error) }))),
  );

  const connected = outcomes.filter(({ reason }) => reason === "connected");
  const refused = outcomes.filter(({ reason }) => reason !== "connected").map(({ reason }) => reason);
  expect(connected).toHaveLength(1);
  expect(refused.filter((reason) => !retryable.has(reason))).toEqual([]);
  const current = await world.database
    .sql`select id from identity where runner_id = ${runner.id} and state = 'current'`;
  expect(current).toHaveLength(1);
  expect(await outcomesOf(world.admin, runner.id, "runner.enroll")).toHaveLength(50);
  for (const one of connected) if ("client" in one) one.client.close();
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
