import { pino } from "pino";
import { expect, onTestFinished, test } from "vitest";
import { createAuthenticator } from "../../server/src/api/authenticate.ts";
import { ensureFirstUser } from "../../server/src/first-start.ts";
import { hasUsers } from "../../server/src/store/users.ts";
import { createTestDatabase } from "../support/postgres.ts";

const log = pino({ level: "silent" });

async function openDatabase() {
  const database = await createTestDatabase();
  onTestFinished(() => database.drop());
  return database.sql;
}

test("of replicas that start together one makes the first user, and its token works", async () => {
  const sql = await openDatabase();
  const tokens: string[] = [];
  const start = () => ensureFirstUser({ sql, log, writeToken: async (text) => void tokens.push(text) });
  await Promise.all([start(), start(), start()]);
  await start();
  expect(tokens.length).toBe(1);
  const caller = await createAuthenticator({ sql, cache_ms: 0 })(`Bearer ${tokens[0]}`);
  expect(caller).toMatchObject({ kind: "user", userName: "admin", clusterAdmin: true, scopes: [] });
});

test("where the first token cannot be written, nothing is made and the next start tries again", async () => {
  const sql = await openDatabase();
  const fail = ensureFirstUser({ sql, log, writeToken: async () => Promise.reject(new Error("disk full")) });
  await expect(fail).rejects.toThrow("disk full");
  expect(await hasUsers(sql)).toBe(false);
  await ensureFirstUser({ sql, log, writeToken: async () => undefined });
  expect(await hasUsers(sql)).toBe(true);
});
