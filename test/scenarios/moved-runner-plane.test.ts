import { expect, test } from "vitest";
import { isOverOpenZiti, whyTcp } from "../support/network.ts";
import { createWorld, readWholeLog, script, until, untilEnded } from "../support/world.ts";

test("a runner finds the runner plane again that came back at another address", async ({ skip }) => {
  skip(isOverOpenZiti, whyTcp.port);
  await using world = await createWorld();
  const started = world.startRunner(await world.register("build-1"));
  const sessions = () => started.output().split("session established").length - 1;
  await until("the session", () => sessions() === 1);
  const before = world.server.runnerAddress.port;

  await world.restartServer({ runner_listen: "127.0.0.1:0" });
  await until("a session at the new address", () => sessions() === 2);
  const { workload } = await world.admin.orchestrator.startWorkload({ spec: script("echo found") });
  await untilEnded(world.admin, workload!.id);

  expect(world.server.runnerAddress.port).not.toBe(before);
  expect(await readWholeLog(world.admin, workload!.id)).toEqual(["found"]);
});
