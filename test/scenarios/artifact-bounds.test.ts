import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ArtifactKind, ArtifactState } from "../../proto/gen/agyn/artifacts/v1/artifacts_service_pb.ts";
import { MemberRole } from "../../proto/gen/agyn/organizations/v1/organizations_service_pb.ts";
import { createProtocolRunner, exited, type ProtocolRunner, type ProtocolSession } from "../support/protocol-runner.ts";
import { jobsOf, startRun, stateName, untilRunEnded } from "../support/runs.ts";
import { createWorld, until, type World } from "../support/world.ts";

const kilobyte = 1000;
let world: World;
let runner: ProtocolRunner;
let session: ProtocolSession;

beforeAll(async () => {
  world = await createWorld({
    lease: "20s",
    artifact_maximum_bytes: String(100 * kilobyte),
    run_artifacts_maximum_bytes: String(150 * kilobyte),
  });
  runner = await createProtocolRunner(world, await world.register("by-hand"));
  session = await runner.connect({ hello: { capacity: { slots: 100 } } });
});
afterAll(async () => {
  session.close();
  await runner[Symbol.asyncDispose]();
  await world[Symbol.asyncDispose]();
});

type Placed = { runId: string; workloadId: string; fence: bigint };

/** A job that keeps artifacts of these names, as it is placed on the runner. */
async function placeJob(...names: string[]): Promise<Placed> {
  const uploads = names.map((name) => `{ name: ${JSON.stringify(name)}, paths: x }`).join(", ");
  const run = await startRun(world.admin, `jobs: { build: { run: 'true', artifacts: { upload: [${uploads}] } } }`);
  const { workloadId, fence } = await session.next("place");
  return { runId: run.id, workloadId, fence };
}

const begin = (of: Placed, name: string) => session.artifacts.createArtifact({ ...of, name, kind: ArtifactKind.FILE });
const write = (of: Placed, name: string, data: Uint8Array, offset = 0) =>
  session.artifacts.writeArtifact({ ...of, name, offset: BigInt(offset), data });
const finish = (of: Placed, name: string, data: Uint8Array) =>
  session.artifacts.finishArtifact({ ...of, name, sha256: createHash("sha256").update(data).digest("hex") });
const messageOf = (call: Promise<unknown>) =>
  call.then(
    () => "",
    (error: unknown) => ConnectError.from(error).rawMessage,
  );

async function upload(of: Placed, name: string, data: Uint8Array): Promise<void> {
  await begin(of, name);
  await write(of, name, data);
  await finish(of, name, data);
}

test("an artifact above its limit is refused at the byte too many, and what came before stays", async () => {
  const of = await placeJob("app");
  await begin(of, "app");
  const part = Buffer.alloc(60 * kilobyte);
  await write(of, "app", part);

  expect(await messageOf(write(of, "app", part, part.length))).toBe('artifact "app" would be above 100000 bytes');
  expect(await begin(of, "app")).toMatchObject({ receivedBytes: 60_000n, state: ArtifactState.UPLOADING });
});

test("two artifacts of a run that are sent at once do not go past the run's limit together", async () => {
  const of = await placeJob("a", "b", "c");
  const names = ["a", "b", "c"];
  for (const name of names) await begin(of, name);

  const answers = await Promise.all(names.map((name) => messageOf(write(of, name, Buffer.alloc(70 * kilobyte)))));

  expect(answers.toSorted()).toEqual(["", "", "the artifacts of the run would be above 150000 bytes"]);
});

test("bad-45: an artifact of a job that has ended is taken, one that is complete takes no more, another runner's never", async () => {
  const of = await placeJob("app", "late");
  session.say({ case: "accepted", value: of }, exited(of));
  await session.next("completionAcknowledged");

  await upload(of, "late", Buffer.from("late"));

  expect(await messageOf(write(of, "late", Buffer.from("more"), 4))).toBe('artifact "late" is complete already');
  expect(await begin(of, "late")).toMatchObject({ state: ArtifactState.COMPLETE });
  const other = { ...of, fence: of.fence + 1n };
  expect(await messageOf(begin(other, "app"))).toBe("the workload is not placed on this runner under this fence");
  expect(await messageOf(begin(of, "unknown"))).toBe(`the workload's spec has no artifact "unknown"`);
});

test("bad-44: an artifact whose bytes are not those of its digest is thrown away, and begins anew", async () => {
  const of = await placeJob("app");
  await begin(of, "app");
  await write(of, "app", Buffer.from("other"));

  expect(await messageOf(finish(of, "app", Buffer.from("meant")))).toContain(
    "the 5 bytes that arrived do not have the SHA-256",
  );
  expect(await begin(of, "app")).toMatchObject({ receivedBytes: 0n, state: ArtifactState.UPLOADING });
  await upload(of, "app", Buffer.from("meant"));
  const { artifacts } = await world.admin.artifacts.listArtifacts({ run: of.runId });
  expect(artifacts).toMatchObject([{ state: ArtifactState.COMPLETE, sizeBytes: 5n }]);
});

describe("bad-43: names that some file system takes for one are refused before the job runs", () => {
  test.each([
    ["case", "report.txt", "REPORT.txt", "differ in a way that not every file system sees"],
    [
      "how accents are composed",
      "résumé".normalize("NFC"),
      "résumé".normalize("NFD"),
      "is not the name of an artifact",
    ],
  ])("%s", async (_what, one, other, message) => {
    const text = `
inputs: { one: { type: string }, other: { type: string } }
jobs:
  build:
    run: 'true'
    artifacts: { upload: [{ name: "\${{ inputs.one }}", paths: a }, { name: "\${{ inputs.other }}", paths: b }] }
`;
    const run = await startRun(world.admin, text, { one, other });
    await untilRunEnded(world.admin, run.id);

    const { build } = await jobsOf(world.admin, run.id);
    expect(stateName(build)).toBe("FAILED");
    expect(build!.message).toContain(message);
  });
});

test("bytes that two artifacts have in common are kept once, and go when the last of them does", async () => {
  const of = await placeJob("a", "b");
  const data = Buffer.from("kept once");
  for (const name of ["a", "b"]) await upload(of, name, data);
  const { sql } = world.database;
  const sha256 = createHash("sha256").update(data).digest("hex");

  const contents = await sql<{ blob_key: string }[]>`select blob_key from content where sha256 = ${sha256}`;
  expect(contents).toHaveLength(1);
  const blob = join(world.directory, "server/blobs", contents[0]!.blob_key);
  expect(existsSync(blob)).toBe(true);
  await sql`update artifact set expire_time = now() where run_id = ${of.runId}`;
  await sql`update content set use_time = now() - interval '1 day' where sha256 = ${sha256}`;

  await until("its blob is swept", () => !existsSync(blob));
  expect((await world.admin.artifacts.listArtifacts({ run: of.runId })).artifacts).toEqual([]);
  expect(await sql`select from content where sha256 = ${sha256}`).toHaveLength(0);
});

test("a part that a server wrote and died before it had it on record is swept", async () => {
  const { sql } = world.database;
  const left = async () => (await sql`select from doomed_blob where blob_key = 'uploads/left.0-ab'`).length;
  await sql`insert into doomed_blob (blob_key, doom_time) values ('uploads/left.0-ab', now())`;

  await until("it is swept", async () => (await left()) === 0);
});

test("an upload that rests for too long has failed, and says so", async () => {
  const of = await placeJob("app");
  await begin(of, "app");
  await world.database.sql`update artifact set update_time = now() - interval '2 hours' where run_id = ${of.runId}`;

  const failed = await until("it has failed", async () => {
    const { artifacts } = await world.admin.artifacts.listArtifacts({ run: of.runId, states: [ArtifactState.FAILED] });
    return artifacts[0];
  });
  expect(failed.message).toBe("its runner sent nothing of it for 3600 s");
});

test("a bundle's upload is its user's: another member of the organization cannot write into it", async () => {
  const { admin } = world;
  const { uploadId } = await admin.artifacts.createUpload({ sha256: "ab".repeat(32) });
  const { user, accessToken } = await admin.users.createUser({ name: "other-member" });
  await admin.organizations.setMember({ organization: "default", user: user!.id, role: MemberRole.MEMBER });
  const other = world.clientsOf(accessToken).artifacts;
  const data = Buffer.from("x");

  expect(await messageOf(other.writeUpload({ organization: "default", uploadId, offset: 0n, data }))).toBe(
    `there is no upload "${uploadId}"`,
  );
  expect(await admin.artifacts.writeUpload({ uploadId, offset: 0n, data })).toMatchObject({ receivedBytes: 1n });
});
