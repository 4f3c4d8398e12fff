import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { ArtifactState } from "../../proto/gen/agyn/artifacts/v1/artifacts_service_pb.ts";
import { createWorld, type Clients } from "../support/world.ts";
import { jobsOf, runStateName, startRun, stateName, untilRunEnded } from "../support/runs.ts";

async function download(clients: Clients, artifact: string, range: { offset?: bigint; limit?: bigint } = {}) {
  const pieces: Uint8Array[] = [];
  for await (const { data } of clients.artifacts.downloadArtifact({ artifact, ...range })) pieces.push(data);
  return Buffer.concat(pieces);
}

test("what a job keeps is passed to a later job, listed, and downloaded whole or in part", async () => {
  await using world = await createWorld();
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
  await using world = await createWorld();
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
