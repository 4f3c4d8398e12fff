import { create } from "@bufbuild/protobuf";
import { afterAll, expect, test } from "vitest";
import { HelloSchema } from "../../proto/gen/agyn/orchestrator/v1/placements_pb.ts";
import { openSession, type SessionLine } from "../../server/src/sessions/open-session.ts";
import { insertGeneration, insertIdentity } from "../../server/src/store/identities.ts";
import { bindIdentity, getRunner, insertRunner } from "../../server/src/store/runners.ts";
import { createId } from "../../wire/ids.ts";
import { createTestDatabase } from "../support/postgres.ts";
import { outcomeOf } from "../support/runner-client.ts";

const database = await createTestDatabase();
const { sql } = database;
afterAll(() => database.drop());

/** A runner whose process `later` has confirmed session 7 at another replica; `open`: its earlier process says hello here. */
async function enrolledRunner() {
  const id = createId("runner");
  const token = { publicKey: new Uint8Array(32), maximumUses: 0, lifetime_ms: null, sourceCidrs: [] };
  await insertRunner(sql, { id, organizationId: null, name: id, labels: {}, capabilities: [], token });
  const times = { issueTime: new Date(), expireTime: new Date(Date.now() + 3_600_000) };
  const identityId = await insertIdentity(sql, id, id);
  await insertGeneration(sql, { identityId, generation: 1n, spkiSha256: id, serial: id, chainPem: "", ...times });
  await bindIdentity(sql, id, identityId);
  await sql`update runner set session_number = 7, confirmed_session_number = 7, session_replica_id = 'another',
    reported = '{"instanceId": "later"}' where id = ${id}`;
  const caller = { kind: "runner" as const, runnerId: id, spkiSha256: id, expireTime: times.expireTime };
  const open = (answers: SessionLine["answers"], lastSessionNumber: bigint) =>
    openSession(
      { sql, replicaId: "this", lease_ms: 1000, onRevoked: () => undefined },
      { caller, line: { signal: new AbortController().signal, answers } },
      create(HelloSchema, { instanceId: "earlier", protocolVersion: 1, lastSessionNumber, machine: {} }),
    );
  return { id, open, row: async () => (await getRunner(sql, id))! };
}

test("an old hello of a runner that has restarted since, held up on its way, locks nobody (I12)", async () => {
  const runner = await enrolledRunner();

  expect(await outcomeOf(runner.open(async () => false, 6n))).toMatch("the runner is gone");
  expect(await runner.row()).toMatchObject({ availability: "active", sessionNumber: 7n });
});

test("a copy that answers while another has confirmed a later session locks the runner (I12)", async () => {
  const runner = await enrolledRunner();

  expect(await outcomeOf(runner.open(async () => true, 6n))).toMatch("two copies of this identity");
  expect((await runner.row()).availability).toBe("locked");
});

test("an old hello takes nothing from the session that its runner has now (I1)", async () => {
  const runner = await enrolledRunner();

  expect(await outcomeOf(runner.open(async () => false, 7n))).toMatch("the runner is gone");
  expect(await runner.row()).toMatchObject({ sessionNumber: 7n, reported: { instanceId: "later" } });
});

test("whoever says hello is asked again where another session began meanwhile", async () => {
  const runner = await enrolledRunner();
  let asked = 0;
  const answers = async () => {
    asked += 1;
    if (asked === 1) await sql`update runner set session_number = 8 where id = ${runner.id}`;
    return true;
  };

  const opened = await runner.open(answers, 7n);

  expect([asked, opened.number]).toEqual([2, 9n]);
});
