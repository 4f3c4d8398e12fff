import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { WorkloadPhase } from "../../proto/gen/agyn/orchestrator/v1/workload_pb.ts";
import { dialRunnerPlane, enrollClient, outcomeOf, outcomesOf } from "../support/runner-client.ts";
import { openIdentityDirectory } from "../../runner/src/identity-store.ts";
import { messageOf } from "../../runner/src/refusal.ts";
import { createMeeting } from "../support/meeting.ts";
import { createWorld, readWholeLog, script, until, untilConnected, untilEnded, type World } from "../support/world.ts";

test("deleting a runner with live workloads is refused, naming how many", async () => {
  await using world = await createWorld();
  const { runner, workload } = await busy(world, "sleep 60");

  const refused = await world.admin.runners.deleteRunner({ runner: runner.id }).catch(messageOf);

  expect(refused).toBe("runner build-1 has 1 live workload: drain it first, or delete it with force and lose them");
  const { workload: after } = await world.admin.orchestrator.getWorkload({ workload });
  expect(after!.phase).toBe(WorkloadPhase.RUNNING);
  await world.admin.orchestrator.stopWorkload({ workload });
  await untilEnded(world.admin, workload);
});

test("deleting with force loses the workloads at once, retries none, and lets the machine finish", async () => {
  await using world = await createWorld();
  await using meeting = await createMeeting();
  const { runner, started, workload } = await busy(world, meeting.script, { maximumTries: 3, onLost: true });

  await world.admin.runners.deleteRunner({ runner: runner.id, force: true });
  const { workload: lost } = await world.admin.orchestrator.getWorkload({ workload });
  await until("the runner has gone", () => started.process.exitCode !== null);
  await meeting.release();

  expect(lost).toMatchObject({ phase: WorkloadPhase.LOST, message: "its runner was deleted", retriedBy: "" });
  await until("the job has run to its end", () => existsSync(meeting.proof));
  const { workloads } = await world.admin.orchestrator.listWorkloads({ organization: "default" });
  expect(workloads.map(({ id }) => id)).toEqual([workload]);
});

test("a deleted runner leaves its records and logs, and nothing that opens a session", async () => {
  await using world = await createWorld();
  const { runner, started, workload } = await busy(world, "echo kept");
  await untilEnded(world.admin, workload);
  const { identity } = openIdentityDirectory(join(runner.dataDirectory, "identity")).load()!;
  await started.kill("SIGTERM");

  await world.admin.runners.deleteRunner({ runner: runner.id });

  const { workload: kept } = await world.admin.orchestrator.getWorkload({ workload });
  expect(kept).toMatchObject({ runnerId: runner.id, runnerName: "build-1", phase: WorkloadPhase.SUCCEEDED });
  expect(await readWholeLog(world.admin, workload)).toEqual(["kept"]);
  expect(await outcomeOf(enrollClient(world.server.gateway, runner.token))).toBe("SERVICE_TOKEN_INVALID");
  const client = await dialRunnerPlane(identity!);
  expect(await outcomeOf(client.placements())).toBe("IDENTITY_REVOKED");
  expect(await outcomesOf(world.admin, runner.id, "runner.delete")).toEqual(["ok"]);
  client.close();
});

/** A runner process and a workload that has begun on it. */
async function busy(world: World, text: string, retry = {}) {
  const runner = await world.register("build-1");
  const started = world.startRunner(runner);
  await untilConnected(world, runner);
  const { workload } = await world.admin.orchestrator.startWorkload({ spec: script(text), retry });
  await until("the workload has begun", async () => {
    const found = await world.admin.orchestrator.getWorkload({ workload: workload!.id });
    return found.workload!.startTime !== undefined;
  });
  return { runner, started, workload: workload!.id };
}
