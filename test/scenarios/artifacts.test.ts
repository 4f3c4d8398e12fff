import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { ArtifactState, type Artifact } from "../../proto/gen/agyn/artifacts/v1/artifacts_service_pb.ts";
import { createWorld, until, type Clients } from "../support/world.ts";
import { jobsOf, runStateName, startRun, stateName, untilRunEnded } from "../support/runs.ts";

/** A machine that is busy with other tests must not make its runner look away. */
const patient = { heartbeat: "500ms", lease: "20s" };

async function download(clients: Clients, artifact: string, range: { offset?: bigint; limit?: bigint } = {}) {
  const pieces: Uint8Array[] = [];
  for await (const { data } of clients.artifacts.downloadArtifact({ artifact, ...range })) pieces.push(data);
  return Buffer.concat(pieces);
}

test("what a job keeps is passed to a later job, listed, and downloaded whole or in part", async () => {
  await using world = await createWorld(patient);
  world.startRunner(await world.register("build-1"));
  const text = `
jobs:
  build:
    run: mkdir -p out/bin && echo app >out/bin/app && chmod +x out/bin/app && printf 0123456789 >report.txt
    artifacts:
      upload: [{ name: dist, paths: out }, { name: report.txt, paths: report.txt }]
  test:
    needs: build
    artifacts: { download: [build/dist, report.txt] }
    run: test -x dist/bin/app && test "$(cat dist/bin/app report.txt)" = "$(printf 'app\\n0123456789')"
`;
  const run = await startRun(world.admin, text);
  const ended = await untilRunEnded(world.admin, run.id);

  expect((await jobsOf(world.admin, run.id))["test"]!.message).toBe("");
  expect(runStateName(ended)).toBe("SUCCEEDED");
  const { artifacts } = await world.admin.artifacts.listArtifacts({ run: String(run.number) });
  expect(artifacts.map((one) => [one.fileName, one.state])).toEqual([
    ["report.txt", ArtifactState.COMPLETE],
    ["dist.tar.zst", ArtifactState.COMPLETE],
  ]);
  const sha256 = createHash("sha256").update("0123456789").digest("hex");
  expect(artifacts[0]).toMatchObject({ sha256, sizeBytes: 10n, jobName: "build" });
  const { text: list } = await world.admin.artifacts.listChecksums({ run: run.id });
  expect(list).toContain(`${sha256}  report.txt\n`);
  expect((await download(world.admin, `${run.number}/report.txt`)).toString()).toBe("0123456789");
  expect((await download(world.admin, artifacts[0]!.id, { offset: 3n, limit: 4n })).toString()).toBe("3456");
});

test("bad-45: an upload that fails is its own status: the job's exit code stands, and who needs it fails saying why", async () => {
  await using world = await createWorld(patient);
  world.startRunner(await world.register("build-1"));
  const text = `
jobs:
  build: { run: 'true', artifacts: { upload: [{ name: dist, paths: nothing/** }] } }
  test: { needs: build, artifacts: { download: [dist] }, run: 'true' }
`;
  const run = await startRun(world.admin, text);
  await untilRunEnded(world.admin, run.id);

  const jobs = await jobsOf(world.admin, run.id);
  const { artifacts } = await world.admin.artifacts.listArtifacts({ run: run.id });
  expect(stateName(jobs["build"])).toBe("SUCCEEDED");
  expect(artifacts).toMatchObject([{ state: ArtifactState.FAILED, message: "no file matches nothing/**" }]);
  expect(jobs["test"]!.message).toBe('artifact "dist" is not there: no file matches nothing/**');
  const { lines } = await world.admin.logs.readLog({ workload: jobs["build"]!.workloadId });
  expect(lines.map((line) => Buffer.from(line.content).toString())).toEqual([
    "artifact dist: not kept: no file matches nothing/**",
  ]);
});

test("bad-46: an artifact is served over HTTP as a download, in ranges, to those who may read it", async () => {
  await using world = await createWorld(patient);
  world.startRunner(await world.register("build-1"));
  const page = "<script>alert(1)</script>";
  const text = `
jobs:
  build:
    run: printf '${page}' >index.html
    artifacts: { upload: [{ name: index.html, paths: index.html }] }
`;
  const run = await startRun(world.admin, text);
  await untilRunEnded(world.admin, run.id);
  const artifact = await untilComplete(world.admin, run.id);
  const get = (headers: Record<string, string>) => fetch(`${world.server.gateway}${artifact.path}`, { headers });
  const authorization = `Bearer ${world.adminToken}`;

  const whole = await get({ authorization });
  const part = await get({ authorization, range: "bytes=1-6" });
  const beyond = await get({ authorization, range: "bytes=999-" });

  expect(whole.headers.get("content-disposition")).toContain('attachment; filename="index.html"');
  expect(whole.headers.get("content-type")).toBe("application/octet-stream");
  expect(await whole.text()).toBe(page);
  expect([part.status, part.headers.get("content-range"), await part.text()]).toEqual([206, "bytes 1-6/25", "script"]);
  expect([beyond.status, beyond.headers.get("content-range")]).toEqual([416, "bytes */25"]);
  const head = await fetch(`${world.server.gateway}${artifact.path}`, { method: "HEAD", headers: { authorization } });
  expect([head.status, head.headers.get("content-length"), await head.text()]).toEqual([200, "25", ""]);
  expect((await get({})).status).toBe(401);
  const { accessToken } = await world.admin.users.createUser({ name: "stranger" });
  expect((await get({ authorization: `Bearer ${accessToken}` })).status).toBe(404);
});

async function untilComplete(clients: Clients, run: string) {
  let found: Artifact | undefined;
  await until("the artifact is complete", async () => {
    [found] = (await clients.artifacts.listArtifacts({ run, states: [ArtifactState.COMPLETE] })).artifacts;
    return found !== undefined;
  });
  return found!;
}

test("bad-45: a runner that is killed in the middle of an upload goes on with it at its next start", async () => {
  await using world = await createWorld(patient);
  const registered = await world.register("build-1");
  const runner = world.startRunner(registered);
  const bytes = 48 * 1024 * 1024;
  const text = `
jobs:
  build:
    run: head -c ${bytes} /dev/urandom >noise && sha256sum noise
    artifacts: { upload: [{ name: noise, paths: noise }] }
`;
  const run = await startRun(world.admin, text);
  await until("a part has arrived", async () => {
    const { artifacts } = await world.admin.artifacts.listArtifacts({ run: run.id });
    return artifacts.some((one) => one.sizeBytes > 0n);
  });
  await runner.kill("SIGKILL");
  const { artifacts: before } = await world.admin.artifacts.listArtifacts({ run: run.id });
  world.startRunner(registered);

  const artifact = await untilComplete(world.admin, run.id);
  await untilRunEnded(world.admin, run.id);
  expect(before).toMatchObject([{ state: ArtifactState.UPLOADING }]);
  expect(artifact.sizeBytes).toBe(BigInt(bytes));
  const workload = (await jobsOf(world.admin, run.id))["build"]!.workloadId;
  const { lines } = await world.admin.logs.readLog({ workload });
  expect(Buffer.from(lines[0]!.content).toString()).toBe(`${artifact.sha256}  noise`);
});

test("bad-45: an upload whose link is cut in the middle goes on where it was, and arrives whole", async () => {
  await using world = await createWorld(patient);
  const runner = await world.register("build-1");
  await using proxy = await world.openProxy(runner);
  world.startRunner(runner);
  const text = `
jobs:
  build:
    run: head -c ${48 * 1024 * 1024} /dev/urandom >noise && sha256sum noise
    artifacts: { upload: [{ name: noise, paths: noise }] }
`;
  const run = await startRun(world.admin, text);
  const received = async () => {
    const { artifacts } = await world.admin.artifacts.listArtifacts({ run: run.id });
    return artifacts[0]?.sizeBytes ?? 0n;
  };
  await until("a part has arrived", async () => (await received()) > 0n);
  proxy.cut();
  const before = await received();
  proxy.restore();

  const artifact = await untilComplete(world.admin, run.id);
  const { build } = await jobsOf(world.admin, run.id);
  const { lines } = await world.admin.logs.readLog({ workload: build!.workloadId });
  expect(before).toBeLessThan(artifact.sizeBytes);
  expect(Buffer.from(lines[0]!.content).toString()).toBe(`${artifact.sha256}  noise`);
});

test("bad-45: two tries keep one name apart, and the last one's counts", async () => {
  await using world = await createWorld(patient);
  world.startRunner(await world.register("build-1"));
  const text = `
jobs:
  flaky:
    run: test -e got/seen && exit 0; echo "$AGYN_WORKLOAD_ID" >id; exit 7
    retries: { max: 1, on: [failed], backoff: 1s }
    artifacts: { upload: [{ name: id, paths: id }] }
`;
  const run = await startRun(world.admin, text);
  await untilRunEnded(world.admin, run.id);

  const { flaky } = await jobsOf(world.admin, run.id);
  await until("both are complete", async () => {
    const { artifacts } = await world.admin.artifacts.listArtifacts({ run: run.id, states: [ArtifactState.COMPLETE] });
    return artifacts.length === 2;
  });
  const { artifacts } = await world.admin.artifacts.listArtifacts({ run: run.id });
  expect(artifacts.map((one) => one.workloadId).toSorted()).toEqual(flaky!.workloadIds.toSorted());
  expect((await download(world.admin, `${run.number}/id`)).toString()).toBe(`${flaky!.workloadId}\n`);
});
