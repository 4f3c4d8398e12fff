import { ListObjectsV2Command } from "@aws-sdk/client-s3";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { ArtifactState } from "../../proto/gen/agyn/artifacts/v1/artifacts_service_pb.ts";
import { jobsOf, runStateName, startRun, untilRunEnded } from "../support/runs.ts";
import { buildTimeout_ms, hasS3Server, startS3Server, type S3Server } from "../support/s3-server.ts";
import { createTcpProxy, type TcpProxy } from "../support/tcp-proxy.ts";
import { createWorld, readWholeLog, until, type RunnerProcess, type World } from "../support/world.ts";

describe.skipIf(!hasS3Server)("a control plane whose blobs lie in S3", () => {
  let server: S3Server;
  let proxy: TcpProxy;
  let world: World;
  let runner: RunnerProcess;

  beforeAll(async () => {
    server = await startS3Server();
    for (const [name, value] of Object.entries(server.credentials)) vi.stubEnv(name, value);
    proxy = await createTcpProxy(server.address);
    world = await createWorld({
      s3_bucket: server.bucket,
      s3_prefix: "agyn",
      s3_endpoint: `http://${proxy.address}`,
      s3_path_style: "true",
      s3_public_endpoint: server.endpoint,
      // A machine that is busy with other tests must not make its runner look away.
      lease: "20s",
    });
    runner = world.startRunner(await world.register("build-1"));
  }, buildTimeout_ms);
  afterAll(async () => {
    await world?.[Symbol.asyncDispose]();
    await proxy?.close();
    vi.unstubAllEnvs();
    await server?.[Symbol.asyncDispose]();
  });

  async function keysBelow(prefix: string): Promise<string[]> {
    const request = new ListObjectsV2Command({ Bucket: server.bucket, Prefix: prefix });
    const { Contents = [] } = await server.client.send(request);
    return Contents.map((one) => one.Key!);
  }

  const artifactOf = (run: string, state: ArtifactState = ArtifactState.COMPLETE) =>
    until("the artifact is there", async () => {
      const { artifacts } = await world.admin.artifacts.listArtifacts({ run, states: [state] });
      return artifacts.find((one) => state === ArtifactState.COMPLETE || one.sizeBytes > 0n);
    });

  test("bad-46: what a job keeps is passed on, and downloaded from the bucket under its name", async () => {
    const page = "<script>alert(1)</script>";
    const text = `
jobs:
  build:
    run: printf '${page}' >index.html
    artifacts: { upload: [{ name: index.html, paths: index.html }] }
  test:
    needs: build
    artifacts: { download: [build/index.html] }
    run: grep -q script index.html
`;
    const run = await startRun(world.admin, text);
    expect(runStateName(await untilRunEnded(world.admin, run.id))).toBe("SUCCEEDED");
    const { path } = await artifactOf(run.id);
    const get = (headers: Record<string, string>) =>
      fetch(`${world.server.gateway}${path}`, { headers, redirect: "manual" });

    const answer = await get({ authorization: `Bearer ${world.adminToken}` });

    expect(answer.status).toBe(307);
    expect((await get({})).status).toBe(401);
    const followed = await fetch(answer.headers.get("location")!, { headers: { range: "bytes=1-6" } });
    expect(new URL(followed.url).origin).toBe(server.endpoint);
    expect([followed.status, await followed.text()]).toEqual([206, "script"]);
    expect(followed.headers.get("content-type")).toBe("application/octet-stream");
    expect(followed.headers.get("content-disposition")).toContain('attachment; filename="index.html"');
  });

  test("a log is sealed into the bucket, and read from there", async () => {
    const run = await startRun(world.admin, "jobs: { say: { run: echo from the bucket } }");
    await untilRunEnded(world.admin, run.id);
    const { say } = await jobsOf(world.admin, run.id);
    const folder = `agyn/logs/${say!.workloadId}/`;
    await until("it is sealed", async () => (await keysBelow(folder)).length === 1);
    await world.restartServer();

    expect(await readWholeLog(world.admin, say!.workloadId)).toEqual(["from the bucket"]);
  });

  test("a store that goes away in the middle of an upload loses nothing, and takes nothing else with it", async () => {
    const text = `
jobs:
  build:
    run: head -c 40000000 /dev/urandom >noise && sha256sum noise
    artifacts: { upload: [{ name: noise, paths: noise }] }
`;
    const run = await startRun(world.admin, text);
    await artifactOf(run.id, ArtifactState.UPLOADING);
    proxy.cut();
    await until("its runner is told", () =>
      runner.output().includes("the store of artifacts and logs does not answer"),
    );
    const other = await startRun(world.admin, "jobs: { other: { run: echo on } }");
    expect(runStateName(await untilRunEnded(world.admin, other.id))).toBe("SUCCEEDED");
    const workload = (await jobsOf(world.admin, other.id))["other"]!.workloadId;
    expect(await readWholeLog(world.admin, workload)).toEqual(["on"]);
    expect((await fetch(`${world.server.gateway}/readyz`)).status).toBe(200);
    proxy.restore();

    const artifact = await artifactOf(run.id);
    const { build } = await jobsOf(world.admin, run.id);
    const lines = await readWholeLog(world.admin, build!.workloadId);
    expect(lines[0]).toBe(`${artifact.sha256}  noise`);
    expect(artifact.sizeBytes).toBe(40_000_000n);
    await until("the other's log is sealed", async () => (await keysBelow(`agyn/logs/${workload}/`)).length === 1);
    await until("its parts are swept", async () => (await keysBelow("agyn/uploads/")).length <= 1);
  });

  test("a server whose bucket is not there does not start, and names the setting", async () => {
    await expect(world.addReplica({ s3_bucket: "nowhere" })).rejects.toThrow('there is no bucket "nowhere" at http');
  });
});
