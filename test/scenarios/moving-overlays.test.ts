import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { isHosted, networkSettings, openNetwork } from "../support/network.ts";
import { outcomesOf } from "../support/runner-client.ts";
import { createWorld, readWholeLog, script, until, type World } from "../support/world.ts";

test("a runner moves from mutual TLS to OpenZiti and back as the servers do, and enrolls but once", async () => {
  await using fabric = await openNetwork();
  const directory = await mkdtemp(join(tmpdir(), "agyn-moving-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const network = await networkSettings(fabric, directory);
  await using world = await createWorld({ heartbeat: "500ms", lease: "5s" }, { over: "mtls" });
  const runner = await world.register("build-1");
  const started = world.startRunner(runner);
  const sessions = () => started.output().split("session established").length - 1;
  await until("the session", () => sessions() === 1);
  const restart = async (settings: Record<string, string>) => {
    const before = sessions();
    await world.restartServer(settings);
    await until(`a session over ${settings["overlay"]}`, () => sessions() > before);
    expect(await logOf(world, "echo here")).toEqual(["here"]);
  };

  // The controller is away at first, which neither the server nor the runner minds.
  fabric.controller.away();
  await restart({ ...network, overlay: "mtls,openziti" });
  fabric.controller.back();
  await until("the runner plane is hosted", () => isHosted(fabric));
  await restart({ ...network, overlay: "openziti" });
  expect(fabric.counts.circuits).toBeGreaterThan(0);
  await restart({ ...network, overlay: "mtls,openziti" });
  await restart({ overlay: "mtls" });

  expect(await outcomesOf(world.admin, runner.id, "runner.enroll")).toEqual(["ok"]);
  expect(fabric.violations).toEqual([]);
});

async function logOf({ admin }: World, text: string): Promise<string[]> {
  const { workload } = await admin.orchestrator.startWorkload({ spec: script(text) });
  return readWholeLog(admin, workload!.id);
}
