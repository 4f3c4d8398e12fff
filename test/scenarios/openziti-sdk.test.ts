import { once } from "node:events";
import { join } from "node:path";
import { expect, test } from "vitest";
import { createWorld, readWholeLog, script } from "../support/world.ts";

const double = join(import.meta.dirname, "../support/openziti-addon.ts");

test("a runner dials with OpenZiti's own SDK where it is told to, and says what is missing where it cannot", async () => {
  await using world = await createWorld({ lease: "20s" }, { network: {} });
  const runner = await world.register("build-1");
  const without = world.startRunner(runner, { arguments: ["--ziti-sdk"] });
  expect(await once(without.process, "exit")).toEqual([2, null]);
  expect(without.output()).toContain("--ziti-sdk: @openziti/ziti-sdk-nodejs is not installed: install it");

  const started = world.startRunner(runner, { arguments: ["--ziti-sdk", double], environment: { ZITI_LOG: "3" } });
  const { workload } = await world.admin.orchestrator.startWorkload({ spec: script("echo by the SDK") });
  expect(await readWholeLog(world.admin, workload!.id)).toEqual(["by the SDK"]);
  expect(started.output()).toContain("openziti-addon: dials agyn-control-plane");
});
