import pino from "pino";
import { afterAll, expect, test } from "vitest";
import { createRecorder } from "../../server/src/sessions/recorder.ts";
import { createSession } from "../../server/src/sessions/session-registry.ts";
import type { Sql } from "../../server/src/store/database.ts";
import { createId } from "../../wire/ids.ts";
import { openPlacer } from "../loops/world.ts";
import { gateSql, type Gate } from "../support/gated-sql.ts";
import { createTestDatabase } from "../support/postgres.ts";

const database = await createTestDatabase();
afterAll(() => database.drop());

test("what a runner says again of many workloads is looked up in one statement, so that others are heard soon", async () => {
  const statements: boolean[] = [];
  const gate: Gate = async (run, reads) => {
    statements.push(reads);
    return run();
  };
  const recorder = await openRecorder(gateSql(database.sql, gate, database.sql));
  const session = openedSession();
  const result = { outcome: "exited", exitCode: 0, signal: "", message: "" } as const;
  const usage = { cpuTime_ms: 0, memoryPeak_bytes: 0, memorySampled: true, startTime_ms: null, endTime_ms: null };
  statements.length = 0;

  for (let fence = 1n; fence <= 500n; fence++)
    recorder.complete(session, { id: createId("workload"), fence, result: { ...result, ...usage, outputs: {} } });
  await recorder.settled();

  expect(statements.length).toBeLessThan(5);
});

test("a session that ended waits for its own words only, however much the others say", async () => {
  const { sql } = database;
  const recorder = await openRecorder(sql);
  const [quiet, busy] = [openedSession(), openedSession()];
  let isSettled = false;
  let beats = 0n;
  const deadline_ms = Date.now() + 20_000;
  const chatting = (async () => {
    while (!isSettled && Date.now() < deadline_ms) {
      recorder.heartbeat(busy, ++beats);
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
  })();
  recorder.heartbeat(quiet, 1n);

  await recorder.settled();
  isSettled = true;

  expect(Date.now()).toBeLessThan(deadline_ms);
  await chatting;
  await recorder.settled();
});

async function openRecorder(sql: Sql) {
  return createRecorder({
    ...(await openPlacer(sql)),
    sql,
    log: pino({ level: "silent" }),
    lease_ms: 30_000,
    rejectionExclusion_ms: 30_000,
    onEnded: () => undefined,
    onChanged: () => undefined,
  });
}

function openedSession() {
  return createSession({ runnerId: createId("runner"), spkiSha256: "" }, 1n);
}
