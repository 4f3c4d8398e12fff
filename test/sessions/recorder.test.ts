import pino from "pino";
import { afterAll, expect, test } from "vitest";
import { createRecorder } from "../../server/src/sessions/recorder.ts";
import { createSession } from "../../server/src/sessions/session-registry.ts";
import { createId } from "../../wire/ids.ts";
import { openPlacer } from "../loops/world.ts";
import { createTestDatabase } from "../support/postgres.ts";

const database = await createTestDatabase();
afterAll(() => database.drop());

test("a session that ended waits for its own words only, however much the others say", async () => {
  const { sql } = database;
  const recorder = createRecorder({
    ...(await openPlacer(sql)),
    sql,
    log: pino({ level: "silent" }),
    lease_ms: 30_000,
    rejectionExclusion_ms: 30_000,
    onEnded: () => undefined,
    onChanged: () => undefined,
  });
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

function openedSession() {
  return createSession({ runnerId: createId("runner"), spkiSha256: "" }, 1n);
}
