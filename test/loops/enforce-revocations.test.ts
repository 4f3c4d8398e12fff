import { afterAll, expect, test } from "vitest";
import { openRevocationReader } from "../../server/src/loops/enforce-revocations.ts";
import { insertRevocation } from "../../server/src/store/identities.ts";
import { gateSql, type Gate } from "../support/gated-sql.ts";
import { createTestDatabase } from "../support/postgres.ts";

const database = await createTestDatabase();
const { sql } = database;
afterAll(() => database.drop());

test("bad-08: what a superseded identity has open ends also where its keys could not be read at first", async () => {
  await sql`insert into runner (id, name, token_public_key) values ('rnr', 'build-1', '')`;
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
    disconnect: (runnerId, _reason, keys) => ended.push(runnerId, ...keys),
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
