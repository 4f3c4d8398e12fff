import { afterAll, beforeAll, expect, test } from "vitest";
import { openRevocationReader } from "../../server/src/loops/enforce-revocations.ts";
import {
  insertGeneration,
  insertIdentity,
  insertRevocation,
  revokeIdentities,
} from "../../server/src/store/identities.ts";
import { gateSql, type Gate } from "../support/gated-sql.ts";
import { createTestDatabase } from "../support/postgres.ts";

const database = await createTestDatabase();
const { sql } = database;
afterAll(() => database.drop());
beforeAll(() => sql`insert into runner (id, name, token_public_key) values ('rnr', 'build-1', '')`);

test("bad-08: what a superseded identity has open ends also where its keys could not be read at first", async () => {
  let left = Infinity;
  const gate: Gate = async (run) => {
    left -= 1;
    if (left === -1) throw new Error("the database went away");
    return run();
  };
  const ended: string[] = [];
  const reader = await openRevocationReader({
    sql: gateSql(sql, gate, sql),
    keysOf: () => ["old"],
    disconnect: (runnerId, _reason, keys) => void ended.push(runnerId, ...keys),
    disconnectAll: () => undefined,
  });
  await insertRevocation(sql, "rnr", "IDENTITY_SUPERSEDED");

  left = 1;
  await expect(reader.run()).rejects.toThrow("went away");
  expect(ended).toEqual([]);
  await reader.run();
  await reader.run();

  expect(ended).toEqual(["rnr", "old"]);
});

test("a revocation that is read late spares the identity for which its runner enrolled since", async () => {
  const ended: string[] = [];
  const reader = await openRevocationReader({
    sql,
    keysOf: () => ["revoked", "enrolled-since"],
    disconnect: (_runnerId, reason, keys) => void ended.push(reason, ...keys),
    disconnectAll: () => undefined,
  });
  for (const key of ["revoked", "enrolled-since"]) {
    await revokeIdentities(sql, "rnr");
    if (key !== "revoked") await insertRevocation(sql, "rnr", "IDENTITY_REVOKED");
    const identityId = await insertIdentity(sql, "rnr", key);
    const times = { issueTime: new Date(), expireTime: new Date(Date.now() + 60_000) };
    await insertGeneration(sql, { identityId, generation: 1n, spkiSha256: key, serial: key, chainPem: "", ...times });
  }

  await reader.run();

  expect(ended).toEqual(["IDENTITY_REVOKED", "revoked"]);
});

test("a replica that stood still for longer than it may be blind cuts nobody, since it reads on at once", async () => {
  const cut: string[] = [];
  const deps = { sql, keysOf: () => [], disconnect: () => undefined, disconnectAll: (why: string) => cut.push(why) };
  const reader = await openRevocationReader(deps);

  const reading = reader.run();
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1100);
  await reading;

  expect(cut).toEqual([]);
});
