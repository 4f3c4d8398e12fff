import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import {
  createWorld,
  readWholeLog,
  script,
  until,
  untilConnected,
  untilEnded,
  type Clients,
} from "../support/world.ts";

const sharedDirectory = async () => {
  const directory = await mkdtemp(join(tmpdir(), "agyn-blobs-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return directory;
};

const linesOf = async ({ logs }: Clients, workload: string) =>
  (await logs.readLog({ workload })).lines.map(({ content }) => Buffer.from(content).toString());

test("the log of a running job can be read and followed at the replica that its runner is not connected to", async () => {
  await using world = await createWorld({ blob_dir: await sharedDirectory() });
  const { admin: elsewhere } = await world.addReplica();
  const runner = await world.register("build-1");
  world.startRunner(runner);
  await untilConnected(world, runner);
  const spec = script("echo first; sleep 300");
  const { workload } = await world.admin.orchestrator.startWorkload({ spec });
  await until("its first line is durable", async () => (await linesOf(world.admin, workload!.id)).length === 1);

  expect(await linesOf(elsewhere, workload!.id)).toEqual(["first"]);
  for await (const { lines } of elsewhere.logs.followLog({ workload: workload!.id })) {
    expect(lines.map(({ content }) => Buffer.from(content).toString())).toEqual(["first"]);
    break;
  }
  await world.admin.orchestrator.stopWorkload({ workload: workload!.id });
  await untilEnded(world.admin, workload!.id);
  expect(await readWholeLog(elsewhere, workload!.id)).toEqual(["first"]);
});
