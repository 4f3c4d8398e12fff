import { expect, test } from "vitest";
import { WorkloadPhase } from "../../proto/gen/agyn/orchestrator/v1/workload_pb.ts";
import { createServerProcess } from "../support/server-process.ts";
import { readWholeLog, script, startRunnerProcess, until, untilEnded } from "../support/world.ts";

test("a server that is killed at once in mid-job and started again loses and doubles nothing", async () => {
  await using server = await createServerProcess();
  await server.start();
  const runner = startRunnerProcess(server.gateway, await server.register("build-1"), {});
  await using _end = { [Symbol.asyncDispose]: async () => void (await runner.kill("SIGKILL")) };
  const spec = script("i=0; while [ $i -lt 300 ]; do echo $i; i=$((i+1)); sleep 0.01; done");
  const { workload } = await server.admin.orchestrator.startWorkload({ spec });
  const id = workload!.id;
  await until("lines arrive", async () => (await server.admin.logs.readLog({ workload: id })).nextLine > 20n);
  const { fence } = (await server.admin.orchestrator.getWorkload({ workload: id })).workload!;

  for (let kill = 0; kill < 2; kill += 1) {
    await server.killAtOnce();
    await server.start();
  }
  const ended = await untilEnded(server.admin, id);

  expect(ended).toMatchObject({ phase: WorkloadPhase.SUCCEEDED, fence, try: 1 });
  expect(await readWholeLog(server.admin, id)).toEqual(Array.from({ length: 300 }, (_, line) => String(line)));
});
