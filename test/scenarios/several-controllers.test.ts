import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { networkSettings, openNetwork } from "../support/network.ts";
import { createWorld, readWholeLog, script } from "../support/world.ts";

test("server and runner come over a network whose first controller is away by the second", async () => {
  await using fabric = await openNetwork();
  const directory = await mkdtemp(join(tmpdir(), "agyn-controllers-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const settings = await networkSettings(fabric, directory);
  const controllers = `https://127.0.0.1:1,${fabric.url}`;
  // The network is this test's own: the world is to open no other.
  await using world = await createWorld({ ...settings, ziti_controller: controllers, lease: "20s" }, { over: "mtls" });
  world.startRunner(await world.register("build-1"));

  const { workload } = await world.admin.orchestrator.startWorkload({ spec: script("echo here") });

  expect(await readWholeLog(world.admin, workload!.id)).toEqual(["here"]);
  expect(fabric.violations).toEqual([]);
});
