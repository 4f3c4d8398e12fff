import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { afterAll, expect, test } from "vitest";
import { PushRequestSchema } from "../../proto/gen/agyn/logs/v1/logs_service_pb.ts";
import { openBlobDirectory } from "../../server/src/blobs/directory.ts";
import { openLogStore } from "../../server/src/logs/log-store.ts";
import { pushLogs } from "../../server/src/sessions/push-logs.ts";
import { createSegmentIndex } from "../../server/src/store/log-segments.ts";
import { createId } from "../../wire/ids.ts";
import { createTestDatabase } from "../support/postgres.ts";
import { insertRunning } from "../support/workload-rows.ts";

const database = await createTestDatabase();
const directory = await mkdtemp(join(tmpdir(), "agyn-push-logs-"));
afterAll(async () => {
  await database.drop();
  await rm(directory, { recursive: true });
});

test("a log that cannot be kept ends the runner's stream at once, though the runner says nothing more", async () => {
  const { sql } = database;
  const [runnerId, identityId, workloadId] = [createId("runner"), createId("identity"), createId("workload")];
  await sql`insert into runner (id, name, token_public_key) values (${runnerId}, 'build-1', '')`;
  await sql`insert into identity (id, runner_id, state, spki_sha256) values (${identityId}, ${runnerId}, 'current', 'key')`;
  await sql`insert into identity_generation (identity_id, generation, spki_sha256, serial, chain_pem, issue_time, expire_time)
    values (${identityId}, 1, 'key', '', '', now(), now())`;
  await insertRunning(sql, { id: workloadId, runnerId, fence: 1n });
  const blobs = await openBlobDirectory({ directory: join(directory, "blobs") });
  const logStore = await openLogStore({
    directory: join(directory, "journal"),
    blobs,
    segments: createSegmentIndex(sql),
  });
  await logStore.close();
  async function* requests() {
    yield create(PushRequestSchema, { ends: [{ workloadId, fence: 1n, lineCount: 0n }] });
    await new Promise(() => undefined);
  }

  const stream = pushLogs(
    { sql, logStore, onBytes: () => undefined },
    { kind: "runner", runnerId, spkiSha256: "key", expireTime: new Date() },
    requests(),
  );

  await expect(stream[Symbol.asyncIterator]().next()).rejects.toThrow("journal");
});
